//! Receives one folder: `cargo run -p waft --example receive -- HOME TARGET ADDRESS:PORT`.
//!
//! HOME is the folder with this program's identity and trust, as the `waft` command keeps it. Senders are asked for the
//! code that is shown, and seal the key, so that no user has to type it here.

use std::process::ExitCode;

use tokio::net::TcpListener;
use waft::home::Home;
use waft::identity::Identity;
use waft::receive::{Event, KeyAnswer, Keys, Offer, Operator, Outcome};
use waft::store::{DirectoryStore, Options};
use waft::{AuthCode, Class, Error, Receiver, TransferKey};

/// The longest folder that this program takes.
const TOTAL_MAX: u64 = 1 << 30;

/// An operator that decides without a user.
struct Policy;

impl Operator for Policy {
    fn code(&mut self, code: &AuthCode) {
        println!("The code is now {}.", code.display());
    }

    fn accepts(&mut self, offer: &Offer<'_>) -> bool {
        println!("{} offers {} files.", offer.peer.name, offer.files);
        offer.total <= TOTAL_MAX
    }

    async fn key(&mut self, _offer: &Offer<'_>, _tries_left: Option<u8>, _key: &mut TransferKey) -> KeyAnswer {
        // Never called, because senders seal the key.
        KeyAnswer::Unavailable
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::NotAuthenticated { address, error } => println!("Refused {address}: {error}"),
            Event::Progress(bytes) => println!("{bytes} bytes received."),
            _ => {}
        }
    }
}

async fn receive(home: &str, target: &str, address: &str) -> Result<(), Error> {
    let home = Home::at(home)?;
    let (identity, _) = Identity::open(&home)?;
    let options = Options { home: Some(home.clone()), ..Options::default() };
    let store = DirectoryStore::prepare(target, options).await?.store;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Error::new(Class::Unreachable, format!("Cannot listen on {address}: {error}."), ""))?;
    let mut receiver = Receiver::new(listener, identity, home, store).keys(Keys::Sealed);
    if let Some(code) = receiver.code() {
        println!("The code is {}.", code.display());
    }
    loop {
        let connection = receiver.accept(&mut Policy).await?;
        match receiver.receive(connection, &mut Policy).await {
            Ok(Outcome::Committed(received)) => {
                println!("Received {} files.", received.receipt.files);
                return Ok(());
            }
            Ok(Outcome::ReceiptRepeated) => {}
            // What was received is kept, and the sender can come back.
            Err(error) => println!("{error}\n  {}", error.advice()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [home, target, address] = &arguments[..] else {
        eprintln!("receive HOME TARGET ADDRESS:PORT");
        return ExitCode::from(2);
    };
    match receive(home, target, address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n  {}", error.advice());
            ExitCode::from(error.class().exit_code())
        }
    }
}
