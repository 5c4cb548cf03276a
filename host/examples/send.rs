//! Sends a folder: `cargo run -p waft --example send -- HOME FOLDER TO`.
//!
//! HOME is the folder with this program's identity and trust, as the `waft` command keeps it. TO is the receiver: NAME,
//! NAME@HOST[:PORT], or HOST[:PORT] if just one is trusted.

use std::io::stdin;
use std::process::ExitCode;

use waft::folder::{Folder, Options};
use waft::home::Home;
use waft::identity::Identity;
use waft::name::Name;
use waft::send::{Destination, Event, Operator};
use waft::trust::Trust;
use waft::{AuthCode, Error, Sender};

/// A user at the terminal.
struct Terminal;

impl Operator for Terminal {
    async fn code(&mut self, receiver: &Name, tries_left: Option<u8>) -> Option<AuthCode> {
        if let Some(left) = tries_left {
            println!("Wrong code; tries left: {left}.");
        }
        println!("Type the code that {receiver} shows:");
        // Blocking the thread is fine for an example only: meanwhile no keep-alives are sent.
        let line = stdin().lines().next()?.ok()?;
        AuthCode::parse(line.trim()).ok()
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Offered { key: Some(key) } => println!("Type this key at the receiver: {}", key.display()),
            Event::Progress(bytes) => println!("{bytes} bytes sent."),
            Event::Retry { error, .. } => println!("{error} Trying again."),
            _ => {}
        }
    }
}

async fn send(home: &str, folder: &str, to: &str) -> Result<(), Error> {
    let home = Home::at(home)?;
    let (identity, _) = Identity::open(&home)?;
    let destination = Destination::parse(to, &Trust::load(&home)?)?;
    let folder = Folder::walk(folder, &Options::default()).await?;
    let sent = Sender::new(identity, home, destination, folder).send(&mut Terminal).await?;
    println!("Sent {} files; {} bytes had to be transferred.", sent.receipt.files, sent.bytes_sent);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [home, folder, to] = &arguments[..] else {
        eprintln!("send HOME FOLDER TO");
        return ExitCode::from(2);
    };
    match send(home, folder, to).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n  {}", error.advice());
            ExitCode::from(error.class().exit_code())
        }
    }
}
