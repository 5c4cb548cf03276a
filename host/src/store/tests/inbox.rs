//! Tests of an inbox: folders side by side, and folders that replace their predecessors.

use super::*;

/// A store for the inbox `to`, which expects a folder of that name from `anna`.
fn expecting(bench: &Bench, overwrite: bool, folder: &str) -> DirectoryStore {
    let store = DirectoryStore::open_inbox(&bench.to(), overwrite).unwrap();
    let mut store = store.remembering(Home::at(bench.home()).unwrap());
    block_on(store.prepare_for(bench.offered().sender, Name::new("anna").unwrap()));
    assert_eq!(store.refuses(&bench.offered().sender), None);
    store.folder_name(FolderName::new(folder).unwrap());
    store
}

fn begin(bench: &Bench, store: &mut DirectoryStore) -> Answer<Held> {
    let before = snapshot(&bench.to());
    block_on(store.check(&bench.offered()))?;
    assert_eq!(snapshot(&bench.to()), before, "a check writes nothing");
    block_on(store.begin(&bench.offered(), &|digest| *digest == bench.archive.info.manifest_digest))
}

/// Receives the rest of the folder. Returns how much was held.
fn receive(bench: &Bench, store: &mut DirectoryStore) -> Answer<u64> {
    let held = begin(bench, store)?;
    write(store, &bench.bytes()[held.offset as usize..], 65536)?;
    let receipt = block_on(store.commit())?;
    assert_eq!(receipt.digest, bench.archive.root);
    Ok(held.offset)
}

/// The same places with another folder to send.
fn changed(bench: Bench, change: impl FnOnce(&Path)) -> Bench {
    change(&bench.from());
    let archive = archive(&bench.from());
    Bench { archive, ..bench }
}

fn photos(bench: &Bench) -> PathBuf {
    bench.to().join("anna/photos")
}

/// The names in the sender's directory.
fn names(bench: &Bench) -> Vec<String> {
    let entries = fs::read_dir(bench.to().join("anna")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn received() -> Bench {
    let bench = Bench::planted();
    assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(0));
    bench
}

fn small(bench: Bench) -> Bench {
    changed(bench, |from| {
        fs::remove_file(from.join("big.bin")).unwrap();
        put(from, "new", b"new", 0o644);
    })
}

#[test]
fn folders_of_other_names_are_side_by_side() {
    let bench = received();
    let mut store = expecting(&bench, false, "music");
    assert_eq!(receive(&bench, &mut store), Ok(0));
    assert!(store.target().ends_with("anna/music") && store.folder() == Some("music"));
    assert_eq!(names(&bench), ["music", "photos"]);
    for name in ["music", "photos"] {
        assert_eq!(snapshot(&bench.to().join("anna").join(name)), snapshot(&bench.from()));
    }
    // The same sender under another name, as after `waft trust`.
    block_on(store.prepare_for(bench.offered().sender, Name::new("bert").unwrap()));
    store.folder_name(FolderName::new("music").unwrap());
    assert_eq!(receive(&bench, &mut store), Ok(0));
    assert!(bench.to().join("bert/music").is_dir());
}

#[test]
fn a_folder_that_is_sent_again_replaces_its_predecessor() {
    let bench = received();
    assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(bench.archive.info.shape.total));
    for _ in 0..2 {
        let bench = small(received());
        let mut store = expecting(&bench, false, "photos");
        begin(&bench, &mut store).unwrap();
        assert!(store.has_base(), "only what changed crosses");
        assert_eq!(receive(&bench, &mut store), Ok(0));
        assert_eq!(snapshot(&photos(&bench)), snapshot(&bench.from()));
        assert_eq!(names(&bench), ["photos"]);
        // And the new one is known as well.
        let total = bench.archive.info.shape.total;
        assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(total));
    }
}

/// As reproducible builds have: the receiver takes the old one for the new one until the sender compares digests.
#[test]
fn a_folder_with_the_same_names_lengths_and_times_replaces_its_predecessor() {
    let bench = changed(received(), |from| put(from, "big.bin", &vec![7; 300_000], 0o644));
    let mut store = expecting(&bench, false, "photos");
    let total = bench.archive.info.shape.total;
    assert_eq!(begin(&bench, &mut store).map(|held| held.offset), Ok(total));
    block_on(store.restart()).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    block_on(store.commit()).unwrap();
    assert_eq!(snapshot(&photos(&bench)), snapshot(&bench.from()));
    assert_eq!(names(&bench), ["photos"]);
}

#[test]
fn a_folder_that_was_changed_here_is_not_replaced() {
    for edit in [
        (|at: &Path| fs::write(at.join("zz2"), "mine").unwrap()) as fn(&Path),
        |at| fs::remove_file(at.join("a-b")).unwrap(),
        |at| put(at, "aux.c", b"another length", 0o644),
    ] {
        let bench = small(received());
        edit(&photos(&bench));
        let before = snapshot(&photos(&bench));
        let mut store = expecting(&bench, false, "photos");
        assert_eq!(begin(&bench, &mut store), Err(StoreError::Edited));
        assert!(matches!(store.take_error().unwrap().cause, Cause::Edited));
        assert_eq!(snapshot(&photos(&bench)), before);
        // With `overwrite` the new one is put among what is there.
        receive(&bench, &mut expecting(&bench, true, "photos")).unwrap();
        assert!(photos(&bench).join("new").exists() && photos(&bench).join("big.bin").exists());
    }
}

/// Puts what file managers leave behind into a folder, which changes the times of its directories.
fn look_at(folder: &Path) {
    for (name, content) in [
        (".DS_Store", STORE),
        ("a/.DS_Store", STORE),
        ("a/x/Thumbs.db", THUMBNAILS),
        ("z/.directory", b"[Dolphin]"),
        ("._zz", b"\0\x05\x16\x07\0\x02"),
    ] {
        fs::write(folder.join(name), content).unwrap();
    }
}

const STORE: &[u8] = b"\0\0\0\x01Bud1\0";
const THUMBNAILS: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

#[test]
fn a_folder_that_was_only_looked_at_is_not_edited() {
    let bench = received();
    look_at(&photos(&bench));
    // It is still the folder that was sent.
    let total = bench.archive.info.shape.total;
    assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(total));
    assert!(photos(&bench).join(".DS_Store").exists());
    let bench = small(bench);
    receive(&bench, &mut expecting(&bench, false, "photos")).unwrap();
    assert_eq!(snapshot(&photos(&bench)), snapshot(&bench.from()));
    // A file manager may also look at it during the transfer, and tidy up.
    let bench = changed(bench, |from| put(from, "new", b"newer", 0o644));
    let mut store = expecting(&bench, false, "photos");
    begin(&bench, &mut store).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    let folder = photos(&bench);
    let looked_at = move || {
        look_at(&folder);
        fs::remove_file(folder.join("z/.directory")).unwrap();
    };
    commit_after(&mut store, looked_at).unwrap();
    assert_eq!(snapshot(&photos(&bench)), snapshot(&bench.from()));
    assert_eq!(names(&bench), ["photos"]);
}

#[test]
fn what_only_resembles_the_files_of_file_managers_is_an_edit() {
    let edits: [fn(&Path); 6] = [
        // These two were sent.
        |at| put(at, ".DS_Store", b"other", 0o644),
        |at| fs::remove_file(at.join("a/Thumbs.db")).unwrap(),
        |at| fs::write(at.join("._mine"), "").unwrap(),
        |at| fs::write(at.join("._zz"), "a note").unwrap(),
        |at| fs::create_dir(at.join("a/.DS_Store")).unwrap(),
        |at| fs::write(at.join("desktop.ini"), vec![0; 2 << 20]).unwrap(),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let bench = changed(Bench::planted(), |from| {
            put(from, ".DS_Store", b"sent!!", 0o644);
            put(from, "a/Thumbs.db", &vec![1; 2 << 20], 0o644);
        });
        receive(&bench, &mut expecting(&bench, false, "photos")).unwrap();
        let bench = small(bench);
        edit(&photos(&bench));
        assert_eq!(begin(&bench, &mut expecting(&bench, false, "photos")), Err(StoreError::Edited), "{number}");
    }
}

/// Where a folder that was changed is merged, nothing in it is removed.
#[test]
fn with_overwrite_the_files_of_file_managers_stay() {
    let bench = received();
    look_at(&photos(&bench));
    let bench = small(bench);
    receive(&bench, &mut expecting(&bench, true, "photos")).unwrap();
    assert_eq!(fs::read(photos(&bench).join(".DS_Store")).unwrap(), STORE);
}

/// A sent file of such a name is compared as any other, and others of these names may be beside it.
#[test]
fn sent_files_of_file_managers_do_not_hide_others() {
    let bench = changed(Bench::planted(), |from| put(from, "a/.DS_Store", &vec![1; 2 << 20], 0o644));
    receive(&bench, &mut expecting(&bench, false, "photos")).unwrap();
    let bench = small(bench);
    fs::write(photos(&bench).join("a/Thumbs.db"), THUMBNAILS).unwrap();
    receive(&bench, &mut expecting(&bench, false, "photos")).unwrap();
    assert_eq!(snapshot(&photos(&bench)), snapshot(&bench.from()));
}

/// Content that was changed so that neither length nor time shows it, and a change during the transfer.
#[test]
fn what_was_changed_is_noticed_before_it_is_replaced() {
    for is_hidden in [true, false] {
        let bench = small(received());
        let mut store = expecting(&bench, false, "photos");
        let file = photos(&bench).join("big.bin");
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        let edit = || {
            let mut content = fs::read(&file).unwrap();
            content[1] ^= 1;
            fs::write(&file, content).unwrap();
            fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        };
        if is_hidden {
            edit();
        }
        begin(&bench, &mut store).unwrap();
        write(&mut store, bench.bytes(), 65536).unwrap();
        if !is_hidden {
            edit();
        }
        let before = snapshot(&photos(&bench));
        assert_eq!(block_on(store.commit()), Err(StoreError::Edited));
        assert_eq!(snapshot(&photos(&bench)), before);
        // What arrived is kept, for when the user has moved the changed folder away.
        drop(store);
        fs::rename(photos(&bench), bench.to().join("anna/mine")).unwrap();
        let total = bench.archive.info.shape.total;
        assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(total - 32));
        assert_eq!(snapshot(&photos(&bench)), snapshot(&bench.from()));
    }
}

#[test]
fn what_this_sender_did_not_send_is_not_replaced() {
    let bench = Bench::planted();
    put(&bench.to(), "anna/photos/mine", b"mine", 0o644);
    assert_eq!(begin(&bench, &mut expecting(&bench, false, "photos")), Err(StoreError::NotEmpty));
    // The sender has another certificate now.
    let bench = small(received());
    let other = Offered { sender: CertificateHash([2; 32]), ..bench.offered() };
    let mut store = expecting(&bench, false, "photos");
    assert_eq!(block_on(store.begin(&other, &|_| true)), Err(StoreError::NotEmpty));
    // Without the record nothing is known about it.
    fs::remove_dir_all(bench.home()).unwrap();
    assert_eq!(begin(&bench, &mut expecting(&bench, false, "photos")), Err(StoreError::NotEmpty));
}

#[test]
fn names_that_cannot_be_stored_are_refused() {
    let bench = received();
    put(&bench.to(), "anna/file", b"mine", 0o644);
    #[cfg(unix)]
    std::os::unix::fs::symlink(bench.from(), bench.to().join("anna/link")).unwrap();
    let before = snapshot(&bench.from());
    let long = "n".repeat(250);
    for name in [
        ".photos.waft",
        ".x.WAFT",
        "file",
        &long,
        #[cfg(unix)]
        "link",
    ] {
        let mut store = expecting(&bench, true, name);
        assert_eq!(begin(&bench, &mut store), Err(StoreError::FolderName), "{name}");
        assert!(store.take_error().unwrap().path.contains("anna"), "{name}");
    }
    assert_eq!(snapshot(&bench.from()), before);
    assert_eq!(receive(&bench, &mut expecting(&bench, false, &long[..249])), Ok(0));
    assert_eq!(receive(&bench, &mut expecting(&bench, false, ".waft")), Ok(0));
}

/// The process is interrupted after the exchange, before the new record takes the place of the old one.
#[test]
fn an_interrupted_replacement_leaves_a_folder_that_is_known() {
    let bench = received();
    let records = bench.home().join("received");
    let record = fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    let old = fs::read(&record).unwrap();
    let bench = small(bench);
    receive(&bench, &mut expecting(&bench, false, "photos")).unwrap();
    fs::rename(&record, record.with_extension("next")).unwrap();
    fs::write(&record, old).unwrap();
    let bench = changed(bench, |from| put(from, "newer", b"newer", 0o644));
    assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(0));
    assert_eq!(snapshot(&photos(&bench)), snapshot(&bench.from()));
    assert_eq!(fs::read_dir(&records).unwrap().count(), 1);
}

#[test]
fn a_part_of_a_folder_is_resumed_by_its_name() {
    let bench = Bench::planted();
    let mut store = expecting(&bench, false, "photos");
    begin(&bench, &mut store).unwrap();
    write(&mut store, &bench.bytes()[..200_000], 65536).unwrap();
    block_on(store.suspend());
    assert!(
        matches!(block_on(store.left_behind()), Some(LeftBehind::Part(path)) if path.ends_with("anna/.photos.waft"))
    );
    assert_eq!(receive(&bench, &mut expecting(&bench, false, "music")), Ok(0));
    assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(200_000));
    assert_eq!(names(&bench), ["music", "photos"]);
}

#[test]
fn what_interrupted_processes_left_is_given_up_in_all_places() {
    let bench = received();
    let mut store = expecting(&bench, false, "music");
    begin(&bench, &mut store).unwrap();
    write(&mut store, &bench.bytes()[..200_000], 65536).unwrap();
    block_on(store.suspend());
    drop(store);
    let mut store = DirectoryStore::open_inbox(&bench.to(), false).unwrap();
    assert_eq!(block_on(store.recover()).ok(), Some(false));
    assert_eq!(block_on(store.probe()).unwrap(), []);
    assert_eq!(block_on(store.abandon()).ok(), Some(true));
    assert_eq!(names(&bench), ["photos"]);
}

/// Commits with a hook that is called after the old folder was compared, before it is replaced.
fn commit_after(store: &mut DirectoryStore, hook: impl Fn() + Send + 'static) -> Answer<Receipt> {
    block_on(store.run(move |store| {
        store.put_in_place(&mut || {
            hook();
            Ok(())
        })
    }))
    .map(|(receipt, _)| receipt)
}

#[test]
fn what_is_changed_after_the_comparison_is_put_back() {
    for edit in [
        (|at: &Path| put(at, "aux.c", b"another length", 0o644)) as fn(&Path),
        |at| fs::write(at.join("mine"), "mine").unwrap(),
        |at| {
            fs::rename(at, at.with_file_name("away")).unwrap();
            put(at, "mine", b"mine", 0o644);
        },
        // The same entries in another directory.
        |at| {
            fs::rename(at, at.with_file_name("away")).unwrap();
            fs::create_dir(at).unwrap();
            for entry in fs::read_dir(at.with_file_name("away")).unwrap() {
                let entry = entry.unwrap();
                fs::rename(entry.path(), at.join(entry.file_name())).unwrap();
            }
        },
    ] {
        let bench = small(received());
        let mut store = expecting(&bench, false, "photos");
        begin(&bench, &mut store).unwrap();
        write(&mut store, bench.bytes(), 65536).unwrap();
        let (path, was) = (photos(&bench), bench.temp.path().join("was"));
        let copy = was.clone();
        let hook = move || {
            edit(&path);
            fs::create_dir(&copy).unwrap();
            fs::write(copy.join("listing"), format!("{:?}", snapshot(&path))).unwrap();
        };
        assert_eq!(commit_after(&mut store, hook), Err(StoreError::Edited));
        let now = format!("{:?}", snapshot(&photos(&bench)));
        assert_eq!(now, fs::read_to_string(was.join("listing")).unwrap());
        assert_eq!(fs::read_dir(bench.home().join("received")).unwrap().count(), 1);
        // The new folder is staged again, for when the user has moved the changed one away.
        drop(store);
        fs::rename(photos(&bench), bench.to().join("anna/mine")).unwrap();
        let total = bench.archive.info.shape.total;
        assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(total - 32));
        assert_eq!(snapshot(&photos(&bench)), snapshot(&bench.from()));
    }
}

/// What a file system has in its top directory, and one place that is damaged.
#[test]
fn directories_that_are_no_senders_and_damaged_places_stop_no_one() {
    let bench = received();
    for name in ["lost+found", "System Volume Information", ".Trashes", "bert"] {
        fs::create_dir(bench.to().join(name)).unwrap();
    }
    // Only a sender's directory can have a staging area.
    put(&bench.to(), "lost+found/.x.waft/journal/file", b"damaged", 0o644);
    put(&bench.to(), "anna/.music.waft/journal/file", b"damaged", 0o644);
    #[cfg(unix)]
    let set_modes = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        for name in ["lost+found", "bert"] {
            fs::set_permissions(bench.to().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    #[cfg(unix)]
    set_modes(0o000);
    let mut store = DirectoryStore::open_inbox(&bench.to(), false).unwrap();
    let prepared = block_on(store.set_up(|store| store.recover())).unwrap();
    #[cfg(unix)]
    set_modes(0o755);
    assert_eq!(prepared.earlier, []);
    assert!(
        matches!(&prepared.notes[..], [Note::Untidied(why)] if why.contains(".music.waft")),
        "{:?}",
        prepared.notes
    );
    assert!(begin(&bench, &mut expecting(&bench, false, "music")).is_err());
    assert_eq!(receive(&bench, &mut expecting(&bench, false, "other")), Ok(0));
}

/// Of many parts, only one has its directories open at a time. As many are reported.
#[test]
fn parts_are_counted() {
    let bench = Bench::planted();
    for name in ["one", "two", "three"] {
        let mut store = expecting(&bench, false, name);
        begin(&bench, &mut store).unwrap();
        write(&mut store, &bench.bytes()[..200_000], 65536).unwrap();
    }
    let mut store = DirectoryStore::open_inbox(&bench.to(), false).unwrap();
    let tidied = block_on(store.set_up(|store| store.recover())).unwrap();
    assert_eq!((&tidied.earlier[..], &tidied.notes[..]), (&[][..], &[Note::Parts(3)][..]));
    let tidied = block_on(store.set_up(|store| store.abandon())).unwrap();
    assert_eq!((&tidied.earlier[..], &tidied.notes[..]), (&[Earlier::Abandoned][..], &[][..]));
}

/// A transfer whose future was dropped still has its staging area open.
#[test]
fn a_dropped_transfer_is_kept_when_another_folder_follows() {
    for is_prepared in [true, false] {
        let bench = Bench::planted();
        let mut store = expecting(&bench, false, "photos");
        begin(&bench, &mut store).unwrap();
        write(&mut store, &bench.bytes()[..200_000], 65536).unwrap();
        match is_prepared {
            true => block_on(store.prepare_for(bench.offered().sender, Name::new("anna").unwrap())),
            false => block_on(store.check(&bench.offered())).unwrap(),
        }
        block_on(store.discard());
        drop(store);
        assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(200_000));
    }
}

/// A folder that is absent for a moment while it is replaced is still known when another one is committed.
#[test]
fn a_record_is_kept_while_its_folder_is_in_the_staging_area() {
    let bench = received();
    fs::create_dir(bench.to().join("anna/.photos.waft")).unwrap();
    fs::rename(photos(&bench), bench.to().join("anna/.photos.waft/old")).unwrap();
    receive(&bench, &mut expecting(&bench, false, "music")).unwrap();
    let records = || fs::read_dir(bench.home().join("received")).unwrap().count();
    assert_eq!(records(), 2);
    let mut store = DirectoryStore::open_inbox(&bench.to(), false).unwrap();
    assert_eq!(block_on(store.set_up(|store| store.recover())).unwrap().earlier, [Earlier::Undone]);
    assert_eq!(receive(&bench, &mut expecting(&bench, false, "photos")), Ok(bench.archive.info.shape.total));
    fs::remove_dir_all(photos(&bench)).unwrap();
    receive(&bench, &mut expecting(&bench, false, "other")).unwrap();
    assert_eq!(records(), 2, "music and other");
}
