//! A running receiver, its operator, and a laptop that it trusts.

use serde_json::Value;

use super::harness::Waft;
use super::laptop::Laptop;
use super::site::{Board, Kind as Which, Site, certificate};
use super::world::{Machine, World};

/// The kind of receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `waft receive`.
    Computer,
    /// `waft simulate`.
    Board,
}

/// A running receiver and its surroundings.
pub(crate) struct Rig {
    receiver: Receiver,
    pub(crate) address: String,
    pub(crate) laptop: Laptop,
    /// Another trusted sender.
    pub(crate) attic: Laptop,
}

enum Receiver {
    /// With the code that it printed last.
    Computer {
        waft: Waft,
        world: World,
        code: Option<String>,
    },
    Board {
        board: Board,
        _site: Site,
    },
}

impl Rig {
    /// A receiver that asks for code and key.
    pub(crate) fn attended(kind: Kind) -> Self {
        Self::start(kind, &[])
    }

    /// A receiver that asks for the key only.
    pub(crate) fn keyed(kind: Kind) -> Self {
        Self::start(kind, &["--no-code"])
    }

    /// A receiver that asks for nothing.
    pub(crate) fn unattended(kind: Kind) -> Self {
        Self::start(kind, &["--no-code", "--sealed-key"])
    }

    fn start(kind: Kind, options: &[&str]) -> Self {
        match kind {
            Kind::Computer => {
                let world = World::new();
                let mut waft = world.receiving(options).arg("--merge").start();
                let (address, _) = waft.ready();
                let (laptop, attic) = (Laptop::of(&world.laptop), Laptop::of(&world.attic()));
                Self { receiver: Receiver::Computer { waft, world, code: None }, address, laptop, attic }
            }
            Kind::Board => {
                let model = waft::board::Board::named("mps2").expect("it is in waft's source");
                let site = Site::new(&Which::Hosted(model));
                let attic = Machine::new(site.root.path(), "attic");
                site.provision(|call| {
                    for sender in [&site.laptop, &attic] {
                        call.arg("--sender").arg(sender.certificate());
                    }
                    call.args(options)
                });
                attic.call(&["trust", "add", "kitchen", "--send-only"]).arg(certificate(&site)).run().succeeded();
                let board = site.listening();
                let (address, laptop, attic) = (site.address.clone(), Laptop::of(&site.laptop), Laptop::of(&attic));
                Self { receiver: Receiver::Board { board, _site: site }, address, laptop, attic }
            }
        }
    }

    /// The code that is valid now. A computer prints each code once, and tests ask for each code once.
    pub(crate) fn code(&mut self) -> String {
        match &mut self.receiver {
            Receiver::Computer { waft, code, .. } => {
                let text = |event: &Value| event["code"].as_str().map(str::to_owned);
                let mut reported = waft.seen.iter().rev().find_map(text);
                if reported == *code {
                    reported = text(&waft.await_event("code"));
                }
                *code = reported.clone();
                reported.expect("it has a code")
            }
            Receiver::Board { board, .. } => board.code(),
        }
    }

    /// Types a key when it is asked for the first time in a session.
    pub(crate) fn types(&mut self, key: &str) {
        self.types_at("Type the key that", key);
    }

    /// Types a key when it is asked for again.
    pub(crate) fn types_again(&mut self, key: &str) {
        self.types_at("The key is wrong.", key);
    }

    fn types_at(&mut self, question: &str, key: &str) {
        match &mut self.receiver {
            Receiver::Computer { waft, .. } => waft.answer("key", key),
            Receiver::Board { board, .. } => {
                board.sees(question);
                board.types(key);
            }
        }
    }

    /// Waits until a folder is committed.
    pub(crate) fn commits(&mut self) {
        match &mut self.receiver {
            Receiver::Computer { waft, .. } => drop(waft.await_event("committed")),
            Receiver::Board { board, .. } => drop(board.sees("The folder is in place")),
        }
    }

    /// Removes the received folder, as its user might do.
    pub(crate) fn loses_the_folder(&mut self) {
        match &mut self.receiver {
            Receiver::Computer { world, .. } => std::fs::remove_dir_all(world.target()).expect("it is ours"),
            Receiver::Board { board, .. } => drop(board.asked("forget yes", "The folder is forgotten.")),
        }
    }

    /// Asserts that nothing was received since then.
    pub(crate) fn has_no_folder(&mut self) {
        match &mut self.receiver {
            Receiver::Computer { world, .. } => assert!(!world.target().exists()),
            Receiver::Board { board, .. } => drop(board.asked("status", "Folder: none")),
        }
    }

    /// Asserts that the receiver's folder has a file with that name and content.
    pub(crate) fn has(&mut self, name: &str, content: &str) {
        match &mut self.receiver {
            Receiver::Computer { world, .. } => {
                let found = std::fs::read_to_string(world.target().join(name));
                assert_eq!(found.expect("the folder stands"), content);
            }
            Receiver::Board { board, .. } => drop(board.asked(&format!("show {name}"), content)),
        }
    }
}
