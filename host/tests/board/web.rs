//! The web server program: the board serves a site that is sent to it, and a changed site replaces it as a whole.

use std::net::TcpListener;

use ureq::http::Response;
use ureq::{Agent, Body};

use super::site::{Kind, Site, noise, write};

/// A client of the board's web server.
struct Browser {
    agent: Agent,
    port: u16,
}

impl Browser {
    fn new(port: u16) -> Self {
        let agent = Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        Self { agent, port }
    }

    fn get(&self, path: &str) -> Response<Body> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.agent.get(url).call().expect("the board answers")
    }

    fn text(&self, path: &str) -> String {
        let mut response = self.get(path);
        assert_eq!(response.status(), 200, "{path}");
        response.body_mut().read_to_string().expect("it is text")
    }

    /// Requests the page again, if it differs from the version with `etag`.
    fn get_unless(&self, path: &str, etag: &str) -> Response<Body> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.agent.get(url).header("If-None-Match", etag).call().expect("the board answers")
    }
}

fn header<'r>(response: &'r Response<Body>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("it is text"))
}

/// A free port. Another process may take it before the board does.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free").port()
}

pub(super) fn a_site_is_served_and_replaced_whole(kind: &Kind) {
    let site = Site::unattended(&kind.program("web"));
    let port = free_port();
    let mut board = site.boot_and(|call| call.args(["--forward", &format!("{port}:80")]));
    board.sees("Listening at");
    let browser = Browser::new(port);
    assert_eq!(browser.get("/").status(), 503, "there is no folder yet");

    let picture = noise(70_000, 0);
    write(&site, "index.html", b"<title>First</title><link rel=stylesheet href=style.css>");
    write(&site, "style.css", b"body { margin: 0 }");
    write(&site, "pages/index.html", b"A page");
    write(&site, "pages/a b+c.txt", b"A text");
    write(&site, "picture.png", &picture);
    site.deliver().succeeded();

    let mut page = browser.get("/");
    assert_eq!((page.status().as_u16(), header(&page, "content-type")), (200, "text/html; charset=utf-8"));
    let etag = header(&page, "etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", blake3::hash(b"<title>First</title><link rel=stylesheet href=style.css>")));
    assert!(page.body_mut().read_to_string().unwrap().contains("First"));
    assert_eq!(browser.get_unless("/", &etag).status(), 304);
    assert_eq!(browser.get_unless("/style.css", &etag).status(), 200, "each file has an ETag of its own");

    let mut served = browser.get("/picture.png");
    assert_eq!((header(&served, "content-type"), header(&served, "content-length")), ("image/png", "70000"));
    assert_eq!(served.body_mut().read_to_vec().unwrap(), picture);
    assert_eq!(browser.text("/pages/a%20b+c.txt"), "A text");
    assert_eq!(browser.text("/pages/"), "A page");
    let moved = browser.get("/pages");
    assert_eq!((moved.status().as_u16(), header(&moved, "location")), (308, "/pages/"));
    for missing in ["/none", "/../index.html", "/pages/none", "/%ff", "/%zz", "/picture.png/"] {
        assert_eq!(browser.get(missing).status(), 404, "{missing}");
    }
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(browser.agent.post(&url).send("text").unwrap().status(), 405);
    let head = browser.agent.head(format!("{url}picture.png")).call().unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "70000"));
    assert!(browser.text("/?folder").contains("Generation 1"));

    write(&site, "index.html", b"<title>Second</title>");
    std::fs::remove_file(site.folder().join("style.css")).unwrap();
    site.deliver().succeeded();
    let mut page = browser.get_unless("/", &etag);
    assert_eq!(page.status(), 200);
    assert!(page.body_mut().read_to_string().unwrap().contains("Second"));
    assert_eq!(browser.get("/style.css").status(), 404);
    assert!(browser.text("/?folder").contains("Generation 2"));

    board.unplug();
    let mut board = site.boot_and(|call| call.args(["--forward", &format!("{port}:80")]));
    board.sees("Listening at");
    assert!(browser.text("/").contains("Second"), "the folder outlives the power");
}
