//! What the command says where it needs no peer: each file in `cmd` is a terminal session, held against the real one.
//!
//! After a change of texts: `TRYCMD=overwrite cargo test -p waft --test cli`, and read the difference.

#[test]
fn the_command_says_what_is_written() {
    trycmd::TestCases::new()
        .env("WAFT_HOME", "home")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd")
        .run();
}
