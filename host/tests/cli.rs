//! The output of commands that need no peer: each file in `cmd` is a terminal session that is compared with the real
//! output.
//!
//! After a change of texts, run `TRYCMD=overwrite cargo test -p waft --test cli`, and read the difference.

#[test]
fn the_command_says_what_is_written() {
    trycmd::TestCases::new()
        .env("WAFT_HOME", "home")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd")
        .run();
}
