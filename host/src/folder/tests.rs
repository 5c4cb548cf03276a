use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::channel;

use embassy_futures::{block_on, poll_once};
use waft_core::archive::{Content, ContentReader, Kind, ManifestReader};
use waft_core::session::sender::{Source as _, SourceError};

use super::*;
use crate::error::Cause;
use crate::testing::{archive, content, plant, put, read_all};

fn walk(path: &Path) -> Result<Folder, FolderError> {
    block_on(Folder::walk(path, &Options::default()))
}

fn source(path: &Path) -> FolderSource {
    FolderSource::new(walk(path).unwrap())
}

#[test]
fn gives_a_legal_archive() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path());
    let archive = archive(folder.path());
    assert_eq!(archive.bytes.len() as u64, archive.info.shape.total);
    let (manifest, mut rest) = archive.bytes.split_at(archive.info.shape.manifest as usize);
    let (mut reader, mut input) = (ManifestReader::new(archive.info.shape.manifest), manifest);
    let (mut paths, mut sizes) = (Vec::new(), Vec::new());
    while let Some(entry) = reader.next(&mut input).unwrap() {
        paths.push(entry.path.as_str().to_owned());
        if let Kind::File { size } = entry.kind {
            sizes.push(size);
        }
    }
    let summary = reader.finish().unwrap();
    assert_eq!(summary.shape, archive.info.shape);
    assert_eq!(summary.digest, archive.info.manifest_digest);
    assert_eq!(archive.info.longest_path as usize, paths.iter().map(String::len).max().unwrap());
    let near = |name: &str| paths.iter().position(|path| path == name).unwrap();
    assert!(near("a") < near("a/x/y/z.txt") && near("a/x/y/z.txt") < near("a-b"), "{paths:?}");
    let (mut reader, mut sizes) = (ContentReader::new(&summary), sizes.into_iter());
    loop {
        match reader.next(&mut rest).unwrap() {
            Some(Content::NeedFile) => reader.begin_file(sizes.next().unwrap()).unwrap(),
            Some(Content::End { root }) => break assert_eq!(root, archive.root),
            Some(_) => {}
            None => panic!("the archive is short"),
        }
    }
    assert!(rest.is_empty());
}

#[test]
fn gives_the_same_bytes_in_pieces_of_any_size_and_again() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path());
    let whole = archive(folder.path());
    for piece in [1, 7, 33, 1024, 65536, 1 << 20] {
        let mut source = source(folder.path());
        assert_eq!(source.root(), None);
        assert!(read_all(&mut source, piece) == whole.bytes, "{piece}");
        assert_eq!(source.root(), Some(whole.root));
        block_on(source.rewind()).unwrap();
        assert_eq!(source.root(), Some(whole.root));
        let mut some = vec![0; 100];
        block_on(source.read(&mut some)).unwrap();
        block_on(source.rewind()).unwrap();
        assert!(read_all(&mut source, piece) == whole.bytes, "{piece} again");
    }
}

#[test]
fn tells_what_is_not_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert!(matches!(walk(&at.join("absent")), Err(FolderError::Missing(_))));
    assert!(matches!(walk(at), Err(FolderError::Empty(_))));
    fs::write(at.join("file"), "x").unwrap();
    assert!(matches!(walk(&at.join("file")), Err(FolderError::NotAFolder(_))));
    // Windows reports only that the path does not exist.
    match walk(&at.join("file/below")) {
        Err(FolderError::NotAFolder(_)) if cfg!(unix) => {}
        Err(FolderError::Missing(_)) if cfg!(windows) => {}
        other => panic!("{:?}", other.err()),
    }
}

/// The paths that are sent.
fn sent(folder: &Folder) -> Vec<String> {
    let mut paths = Vec::new();
    folder.list(|path, _| paths.push(path.to_owned())).unwrap();
    paths
}

fn gather(paths: &[PathBuf]) -> Result<Folder, FolderError> {
    block_on(Folder::gather(paths, &Options::default()))
}

#[test]
fn several_paths_become_a_folder_that_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "one/notes.txt", b"notes", 0o644);
    put(at, "two/photos/a.jpg", b"photo", 0o600);
    put(at, "two/photos/deep/b.jpg", &content(1, 70_000), 0o644);
    let walked = gather(&[at.join("two/photos"), at.join("one/notes.txt")]).unwrap();
    assert_eq!(sent(&walked), ["notes.txt", "photos", "photos/a.jpg", "photos/deep", "photos/deep/b.jpg"]);
    // The same archive as that of a folder with these files.
    put(at, "all/notes.txt", b"notes", 0o644);
    put(at, "all/photos/a.jpg", b"photo", 0o600);
    put(at, "all/photos/deep/b.jpg", &content(1, 70_000), 0o644);
    let bytes = read_all(&mut FolderSource::new(walked.clone()), 1000);
    let files = |bytes: &[u8], info: &ArchiveInfo| bytes[info.shape.manifest as usize..].len();
    let whole = archive(&at.join("all"));
    assert_eq!(files(&bytes, &walked.info), files(&whole.bytes, &whole.info));
    // A clone reads the same bytes at the same time.
    let (mut one, mut other) = (FolderSource::new(walked.clone()), FolderSource::new(walked));
    let mut start = [0; 100];
    block_on(one.read(&mut start)).unwrap();
    assert!(read_all(&mut other, 1000) == bytes && bytes.starts_with(&start));
}

#[test]
fn a_single_file_is_in_a_folder_and_a_single_folder_is_that_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "photos/a.jpg", b"photo", 0o600);
    assert_eq!(sent(&gather(&[at.join("photos/a.jpg")]).unwrap()), ["a.jpg"]);
    assert_eq!(sent(&gather(&[at.join("photos")]).unwrap()), ["a.jpg"]);
    assert_eq!(sent(&gather(&[at.join("photos/../photos/.."), at.join("photos/a.jpg")]).unwrap()).len(), 4);
}

#[test]
fn paths_that_do_not_go_together_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "one/notes.txt", b"1", 0o644);
    put(at, "two/notes.txt", b"2", 0o644);
    let same = gather(&[at.join("one/notes.txt"), at.join("two/notes.txt")]);
    assert!(matches!(same, Err(FolderError::SameName(..))), "{:?}", same.err());
    let missing = gather(&[at.join("one/notes.txt"), at.join("three")]);
    assert!(matches!(missing, Err(FolderError::Missing(_))), "{:?}", missing.err());
    let nameless = gather(&[at.join("one/notes.txt"), PathBuf::from("/")]);
    assert!(matches!(nameless, Err(FolderError::Nameless(_))), "{:?}", nameless.err());
}

#[cfg(unix)]
#[test]
fn a_link_that_is_named_is_sent_as_what_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "real/file", b"x", 0o644);
    std::os::unix::fs::symlink("real", at.join("link")).unwrap();
    std::os::unix::fs::symlink("real/file", at.join("to-file")).unwrap();
    let walked = gather(&[at.join("link"), at.join("to-file")]).unwrap();
    assert_eq!(sent(&walked), ["link", "link/file", "to-file"]);
    assert_eq!(read_all(&mut FolderSource::new(walked.clone()), 1000).len() as u64, walked.info.shape.total);
}

#[test]
fn patterns_leave_out_what_they_match() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.log", "keep.txt", "build/out", "src/build/out", "src/a.log", "src/main.c", "notes/build"] {
        put(folder.path(), name, b"x", 0o644);
    }
    let excluding = |patterns: &[&str]| {
        let exclude = patterns.iter().map(ToString::to_string).collect();
        block_on(Folder::walk(folder.path(), &Options { exclude, ..Options::default() }))
    };
    let walked = excluding(&["*.log", "/build/", "notes"]).unwrap();
    assert_eq!(sent(&walked), ["keep.txt", "src", "src/build", "src/build/out", "src/main.c"]);
    assert_eq!(walked.left_out.first, ["a.log", "build", "notes", "src/a.log"]);
    let walked = excluding(&["*.log", "build/", "!src/a.log"]).unwrap();
    assert_eq!(sent(&walked), ["keep.txt", "notes", "notes/build", "src", "src/a.log", "src/main.c"]);
    assert!(matches!(excluding(&["*"]), Err(FolderError::Empty(_))));
    assert!(matches!(excluding(&["a{", "b"]), Err(FolderError::Pattern(pattern, _)) if pattern == "a{"));
}

#[test]
fn gits_patterns_count_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in [".git/config", "work/target/out", "work/src/a.o", "work/src/keep.o", "work/src/a.c", "work/src/local"]
    {
        put(at, name, b"x", 0o644);
    }
    put(at, ".gitignore", b"*.o\ntarget/\n", 0o644);
    put(at, "work/src/.gitignore", b"!keep.o\n/local\n", 0o644);
    let with = |path: &Path, gitignore| {
        sent(&block_on(Folder::walk(path, &Options { gitignore, ..Options::default() })).unwrap())
    };
    let kept = ["src", "src/.gitignore", "src/a.c", "src/keep.o"];
    assert_eq!(with(&at.join("work"), true), kept);
    assert_eq!(with(&at.join("work"), false).len(), 8);
    assert_eq!(with(at, true).len(), 2 + kept.len());
    assert!(!with(at, true).iter().any(|path| path.starts_with(".git/")));
    // A folder among several, too; but a file that is named is sent.
    let paths = [at.join("work"), at.join("work/src/a.o")];
    let several = block_on(Folder::gather(&paths, &Options { gitignore: true, ..Options::default() })).unwrap();
    assert_eq!(sent(&several), ["a.o", "work", "work/src", "work/src/.gitignore", "work/src/a.c", "work/src/keep.o"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_where_that_is_asked_for_and_loops_end() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "outside/file", b"content", 0o644);
    put(at, "in/real/file", b"x", 0o644);
    for (to, link) in [
        ("../outside", "in/dir"),
        ("../outside/file", "in/to-file"),
        ("absent", "in/broken"),
        ("..", "in/real/up"),
        ("../in", "outside/back"),
    ] {
        symlink(to, at.join(link)).unwrap();
    }
    let options = Options { follow_links: true, ..Options::default() };
    let walked = block_on(Folder::walk(at.join("in"), &options)).unwrap();
    assert_eq!(sent(&walked), ["dir", "dir/file", "real", "real/file", "to-file"]);
    let skipped: Vec<_> = walked.skipped.first.iter().map(|item| (item.path.as_str(), item.why)).collect();
    let expected = [("broken", SkippedWhy::BrokenLink), ("dir/back", SkippedWhy::Loop), ("real/up", SkippedWhy::Loop)];
    assert_eq!(skipped, expected);
    let bytes = read_all(&mut FolderSource::new(walked.clone()), 1000);
    assert_eq!(bytes.len() as u64, walked.info.shape.total);
    assert!(bytes.windows(7).filter(|part| part == b"content").count() == 2);
    let not = block_on(Folder::walk(at.join("in"), &Options::default())).unwrap();
    assert_eq!(sent(&not), ["real", "real/file"]);
}

#[test]
fn a_walk_that_is_given_up_ends() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "file", b"x", 0o644);
    let path = folder.path().to_owned();
    let walk = move || Folder::walk_blocking(&path, &Options::default()).map(drop);
    assert!(walk().is_ok());
    let mut worker = Worker::new(None);
    let (go, gone) = channel::<()>();
    let work = worker.run(move |walked| {
        gone.recv().unwrap();
        *walked = Some(walk());
    });
    assert!(poll_once(work).is_pending(), "and dropped");
    go.send(()).unwrap();
    assert!(matches!(block_on(worker.idle()), Some(Err(FolderError::Unreadable(_)))));
}

#[cfg(unix)]
#[test]
fn skips_links_and_special_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "real/file", b"x", 0o644);
    std::os::unix::fs::symlink("/etc", at.join("link\u{202e}")).unwrap();
    std::os::unix::fs::symlink("real", at.join("real/loop")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at.join("socket")).unwrap();
    let walked = walk(at).unwrap();
    assert_eq!(walked.info.shape.entries, 2);
    let found: Vec<_> = walked.skipped.first.iter().map(|item| (item.path.as_str(), item.why)).collect();
    let expected =
        [("link\\u{202e}", SkippedWhy::Symlink), ("real/loop", SkippedWhy::Symlink), ("socket", SkippedWhy::Special)];
    assert_eq!(found, expected);
    assert_eq!(walked.skipped.count, 3);
}

#[cfg(unix)]
#[test]
fn lists_names_that_cannot_be_sent() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "good", b"x", 0o644);
    put(at, "bell\u{7}", b"x", 0o644);
    let latin = at.join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&latin).unwrap();
    fs::write(latin.join("not looked at\u{7}"), "x").unwrap();
    let deep = (0..65).fold(String::new(), |path, _| path + "d/") + "f";
    put(at, &deep, b"x", 0o644);
    let Err(FolderError::Unsendable(list)) = walk(at) else { panic!("sent") };
    let paths: Vec<_> = list.first.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(list.count, 3, "{paths:?}");
    assert_eq!(paths[..2], ["bell\\u{7}", "caf\\xe9"]);
    assert!(list.first[2].why == UnsendableWhy::Path(waft_core::path::PathError::TooDeep), "{:?}", list.first[2]);
    let some = block_on(Folder::walk(at, &Options { skip_unsendable: true, ..Options::default() })).unwrap();
    assert_eq!((some.info.shape.entries, some.info.shape.files, some.unsendable.count), (65, 1, 3));
}

#[cfg(unix)]
#[test]
fn lists_what_cannot_be_read() {
    if crate::testing::again_unprivileged("folder::tests::lists_what_cannot_be_read") {
        return;
    }
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let at = folder.path();
    for name in ["file", "closed/file", "listed/file", "other"] {
        put(at, name, b"x", 0o644);
    }
    let closed = [("file", 0o000), ("closed", 0o000), ("listed", 0o444)];
    closed.iter().for_each(|(name, mode)| crate::testing::set_mode(&at.join(name), *mode));
    let Err(FolderError::Unsendable(list)) = walk(at) else { panic!("sent") };
    let some = block_on(Folder::walk(at, &Options { skip_unsendable: true, ..Options::default() })).unwrap();
    closed.iter().for_each(|(name, _)| crate::testing::set_mode(&at.join(name), 0o755));
    let paths: Vec<_> = list.first.iter().map(|item| item.path.as_str()).collect();
    assert_eq!(paths, ["closed", "file", "listed"]);
    assert!(list.first.iter().all(|item| item.why.is_unreadable()));
    assert_eq!((some.info.shape.entries, some.info.shape.files, some.unsendable.count), (1, 1, 3));
}

#[test]
fn keeps_only_the_first_of_a_long_list() {
    for (keeps_all, kept) in [(false, 100), (true, 1000)] {
        let mut list = Few::new(keeps_all);
        (0..1000).for_each(|at| list.push(|| at));
        assert_eq!((list.count, list.first.len()), (1000, kept));
    }
}

/// Changes a folder between the walk and reading. Returns the error of reading, and its path.
fn changed(change: impl FnOnce(&Path)) -> (SourceError, String) {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "dir/file", &content(1, 5000), 0o644);
    put(folder.path(), "other", &content(2, 50), 0o644);
    let mut source = source(folder.path());
    change(folder.path());
    let error = block_on(source.read(&mut [0; 10_000])).unwrap_err();
    let file_error = source.take_error().unwrap();
    assert_eq!(matches!(file_error.cause, Cause::Changed), error == SourceError::Changed);
    (error, file_error.path.clone())
}

#[test]
fn tells_a_file_that_is_not_what_it_was() {
    let of = |error| (error, "dir/file".to_owned());
    let rewrite = |at: &Path| fs::write(at.join("dir/file"), content(3, 5000)).unwrap();
    assert_eq!(changed(rewrite), of(SourceError::Changed));
    let cut = |at: &Path| fs::File::options().write(true).open(at.join("dir/file")).unwrap().set_len(100).unwrap();
    assert_eq!(changed(cut), of(SourceError::Changed));
    assert_eq!(changed(|at| fs::remove_file(at.join("dir/file")).unwrap()), of(SourceError::Unreadable));
    let no_dir = |at: &Path| fs::remove_dir_all(at.join("dir")).unwrap();
    assert_eq!(changed(no_dir), (SourceError::Unreadable, "dir".to_owned()));
}

#[cfg(unix)]
#[test]
fn follows_no_link_that_took_a_place() {
    let swap = |name: &'static str, to: &'static str| {
        move |at: &Path| {
            fs::rename(at.join(name), at.join(name).with_file_name("aside")).unwrap();
            std::os::unix::fs::symlink(to, at.join(name)).unwrap();
        }
    };
    assert_eq!(changed(swap("dir/file", "aside")), (SourceError::Unreadable, "dir/file".to_owned()));
    assert_eq!(changed(swap("dir", "aside")), (SourceError::Unreadable, "dir".to_owned()));
    assert_eq!(changed(swap("dir", "/etc")), (SourceError::Unreadable, "dir".to_owned()));
}

#[test]
fn gives_no_byte_of_a_file_that_changed_before() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "file", &content(1, 300_000), 0o644);
    let mut source = source(folder.path());
    fs::write(folder.path().join("file"), content(2, 300_000)).unwrap();
    assert_eq!(block_on(source.read(&mut [0; 1000])), Err(SourceError::Changed));
}

#[test]
fn tells_a_file_that_changes_while_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for truncate in [true, false] {
        put(folder.path(), "file", &content(1, 3_000_000), 0o644);
        let mut source = source(folder.path());
        // The end of the file was not read yet, although the source reads ahead.
        let mut buffer = vec![0; 100_000];
        block_on(source.read(&mut buffer)).unwrap();
        let mut file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all(b"new").unwrap();
        if truncate {
            file.set_len(1_500_000).unwrap();
        }
        let mut rest = vec![0; 4_000_000];
        assert_eq!(block_on(source.read(&mut rest)), Err(SourceError::Changed));
        assert_eq!(source.root(), None);
    }
}
