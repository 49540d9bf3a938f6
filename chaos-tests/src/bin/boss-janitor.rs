//! Cleans up after a test that was killed: waits for the end of its standard input, which is the end of the test, and
//! then ends what the run in the given folder has left behind. Started by the harness, for every run.

use std::{env, io, path::Path};

use boss_chaos_tests::run_folder;

fn main() -> io::Result<()> {
    let Some(run) = env::args_os().nth(1) else {
        return Err(io::Error::other("usage: boss-janitor FOLDER, with a pipe from the test as standard input"));
    };
    io::copy(&mut io::stdin(), &mut io::sink())?;
    run_folder::clean_up(Path::new(&run));
    Ok(())
}
