//! The web site: serves the files of the received folder.
//!
//! | request | response |
//! |---|---|
//! | a file | its content, with a media type by its extension, and its BLAKE3 digest as ETag |
//! | a directory | its `index.html`; for the root without such a file, the page about the folder |
//! | `/?folder` | the page about the folder: its generation, size and digest |
//!
//! A response holds a lease on the folder until it is written, so it never mixes two folders. Browsers revalidate each
//! file (`no-cache`), and get "not modified" as long as the ETag is the same, so they show a new folder at once.

use core::fmt::Write as _;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_time::{Duration, Instant};
use embedded_storage_async::nor_flash::NorFlash;
use heapless::{String, Vec};
use picoserve::ResponseSent;
use picoserve::io::{Read, Write};
use picoserve::request::{Headers, Path, Request};
use picoserve::response::{Connection, Content, IntoResponse, NoContent, Response, ResponseWriter, StatusCode};
use picoserve::routing::{MethodHandler, PathRouterService, RequestHandlerService};
use waft_receiver::slots::{File, Folder, PATH_MAX, ReadError, Slots};

/// The file that is served for a directory.
const INDEX: &str = "index.html";
/// Bytes that are read from a file at a time.
const PIECE: usize = 512;

/// Longest time that the content of a file may take. The response holds a lease on the folder meanwhile: a client that
/// reads a byte now and then must not keep the slot from the next transfer.
const RESPONSE_LIMIT: Duration = Duration::from_secs(30);

/// A path within the folder.
type FilePath = String<PATH_MAX>;
/// A quoted digest in hexadecimal.
type ETag = String<66>;

/// Answers requests from the folder in the slots.
pub(crate) struct Site<M: RawMutex + 'static, F: 'static> {
    slots: &'static Slots<'static, M, F>,
}

impl<M: RawMutex, F: NorFlash> Site<M, F> {
    pub(crate) fn new(slots: &'static Slots<'static, M, F>) -> Self {
        Self { slots }
    }
}

/// A router that passes every path to one handler.
pub(crate) struct EveryPath<H>(pub(crate) H);

impl<H: MethodHandler> PathRouterService for EveryPath<H> {
    async fn call_path_router_service<R: Read, W: ResponseWriter<Error = R::Error>>(
        &self,
        state: &(),
        (): (),
        _: Path<'_>,
        request: Request<'_, R>,
        writer: W,
    ) -> Result<ResponseSent, W::Error> {
        self.0.call_method_handler(state, (), request, writer).await
    }
}

impl<M: RawMutex, F: NorFlash> RequestHandlerService for Site<M, F> {
    async fn call_request_handler_service<R: Read, W: ResponseWriter<Error = R::Error>>(
        &self,
        (): &(),
        (): (),
        request: Request<'_, R>,
        writer: W,
    ) -> Result<ResponseSent, W::Error> {
        let parts = request.parts;
        let client = request.body_connection.finalize().await?;
        let Some(folder) = self.slots.folder() else {
            let empty = (StatusCode::SERVICE_UNAVAILABLE, ("Retry-After", "5"), "No folder has been received yet.\n");
            return empty.write_to(client, writer).await;
        };
        if parts.query().is_some_and(|query| query.0 == "folder") {
            return About(&folder).write_to(client, writer).await;
        }
        match find(&folder, parts.path()).await {
            Ok(Found::File { etag, .. }) if is_known(parts.headers(), &etag) => {
                (StatusCode::NOT_MODIFIED, ("ETag", etag.as_str()), NoContent).write_to(client, writer).await
            }
            Ok(Found::File { file, media, etag }) => {
                let response = Response::ok(FileContent { file, media })
                    .with_header("ETag", etag.as_str())
                    .with_header("Cache-Control", "no-cache")
                    .with_header("X-Content-Type-Options", "nosniff");
                response.write_to(client, writer).await
            }
            Ok(Found::Directory) => {
                // Relative links in the page of a directory require the slash at the end of its path.
                let moved = ("Location", format_args!("{}/", parts.path()));
                (StatusCode::PERMANENT_REDIRECT, moved, NoContent).write_to(client, writer).await
            }
            Err(ReadError::NotFound) if parts.path() == "/" => About(&folder).write_to(client, writer).await,
            Err(ReadError::NotFound | ReadError::IsDirectory) => {
                (StatusCode::NOT_FOUND, "The folder has no such file.\n").write_to(client, writer).await
            }
            Err(ReadError::Flash | ReadError::Damaged) => {
                let broken = (StatusCode::INTERNAL_SERVER_ERROR, "The folder cannot be read from the flash.\n");
                broken.write_to(client, writer).await
            }
        }
    }
}

/// The result of a lookup.
enum Found<'s, M: RawMutex, F> {
    File {
        file: File<'s, M, F>,
        /// The media type of the file.
        media: &'static str,
        etag: ETag,
    },
    /// A directory, if the path does not end with a slash.
    Directory,
}

/// Opens the file at `path`. A path that ends with a slash or is empty is that of a directory, and opens its [`INDEX`].
async fn find<'s, M: RawMutex, F: NorFlash>(
    folder: &Folder<'s, M, F>,
    path: Path<'_>,
) -> Result<Found<'s, M, F>, ReadError> {
    let mut path = decode(path.encoded()).ok_or(ReadError::NotFound)?;
    if path.is_empty() || path.ends_with('/') {
        path.push_str(INDEX).map_err(|_| ReadError::NotFound)?;
    }
    let file = match folder.open(&path).await {
        Err(ReadError::IsDirectory) => return Ok(Found::Directory),
        found => found?,
    };
    let mut etag = ETag::new();
    write!(etag, "\"{}\"", file.digest().await?).expect("a digest has 64 digits");
    Ok(Found::File { file, media: media_type(&path), etag })
}

/// Decodes the path of a URL, in which a byte may be escaped as `%` and two hexadecimal digits. Returns `None` if the
/// result cannot be the path of a file.
fn decode(url: &str) -> Option<FilePath> {
    let mut bytes = url.strip_prefix('/').unwrap_or(url).bytes();
    let mut path = Vec::new();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        };
        path.push(byte).ok()?;
    }
    FilePath::from_utf8(path).ok()
}

/// Whether the client's cache has the file with this ETag.
fn is_known(headers: Headers<'_>, etag: &ETag) -> bool {
    let Some(known) = headers.get("if-none-match") else { return false };
    known.split(b',').any(|known| {
        let known = known.as_raw();
        known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == etag.as_bytes()
    })
}

/// The media type of a file, by its extension.
fn media_type(path: &str) -> &'static str {
    const TYPES: [(&str, &str); 19] = [
        ("css", "text/css; charset=utf-8"),
        ("gif", "image/gif"),
        ("htm", "text/html; charset=utf-8"),
        ("html", "text/html; charset=utf-8"),
        ("ico", "image/x-icon"),
        ("jpeg", "image/jpeg"),
        ("jpg", "image/jpeg"),
        ("js", "text/javascript; charset=utf-8"),
        ("json", "application/json"),
        ("md", "text/markdown; charset=utf-8"),
        ("mjs", "text/javascript; charset=utf-8"),
        ("pdf", "application/pdf"),
        ("png", "image/png"),
        ("svg", "image/svg+xml"),
        ("txt", "text/plain; charset=utf-8"),
        ("wasm", "application/wasm"),
        ("webp", "image/webp"),
        ("woff2", "font/woff2"),
        ("xml", "application/xml"),
    ];
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let found = TYPES.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known));
    found.map_or("application/octet-stream", |(_, media)| media)
}

/// A file as the content of a response.
struct FileContent<'s, M: RawMutex, F> {
    file: File<'s, M, F>,
    media: &'static str,
}

impl<M: RawMutex, F: NorFlash> Content for FileContent<'_, M, F> {
    fn content_type(&self) -> &'static str {
        self.media
    }

    fn content_length(&self) -> usize {
        self.file.size() as usize
    }

    async fn write_content<W: Write>(self, mut writer: W) -> Result<(), W::Error> {
        let mut piece = [0; PIECE];
        let mut offset = 0;
        let end = Instant::now() + RESPONSE_LIMIT;
        // If the read fails or the client is too slow, the connection ends before the stated length, which clients
        // detect as an error.
        while offset < self.file.size() && Instant::now() < end {
            let Ok(count @ 1..) = self.file.read_at(offset, &mut piece).await else { break };
            writer.write_all(&piece[..count]).await?;
            offset += count as u32;
        }
        Ok(())
    }
}

/// The page that describes the current folder.
struct About<'f, 's, M: RawMutex, F>(&'f Folder<'s, M, F>);

impl<M: RawMutex, F: NorFlash> About<'_, '_, M, F> {
    async fn write_to<R: Read, W: ResponseWriter<Error = R::Error>>(
        self,
        client: Connection<'_, R>,
        writer: W,
    ) -> Result<ResponseSent, W::Error> {
        let Self(folder) = self;
        let page = format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>The folder on this board</title>\n\
             <h1>The folder on this board</h1>\n\
             <p>Generation {}: {} files, {} bytes of archive.</p>\n<p>Digest <code>{}</code></p>\n</html>\n",
            folder.generation(),
            folder.files(),
            folder.bytes(),
            folder.digest(),
        );
        let response =
            Response::ok(page).with_content_type("text/html; charset=utf-8").with_header("Cache-Control", "no-store");
        response.write_to(client, writer).await
    }
}
