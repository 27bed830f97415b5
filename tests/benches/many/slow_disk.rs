//! A disk as slow as is asked for: every program of the run waits so much longer in each of its flushes, PostgreSQL under
//! all tools, and our own server at its event log.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use stopover_tests::bench::say;

/// In milliseconds.
const FLUSH: &str = "STOPOVER_BENCH_FLUSH_MS";
const PRELOAD: &str = "LD_PRELOAD";

/// Begins the program anew with slower flushes where they are asked for.
pub(crate) fn begin() {
    let Ok(ms) = std::env::var(FLUSH) else { return };
    let ms: u32 = ms.parse().expect("milliseconds");
    if std::env::var_os(PRELOAD).is_some() {
        say(&format!("each flush to the disk takes {ms} ms more"));
        return;
    }
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("slow_disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/many/slow_disk.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-shared", "-fPIC", &format!("-DFLUSH_MS={ms}"), "-o"]);
    compiler.args([&library, &source]).arg("-ldl");
    assert!(compiler.status().expect("a C compiler").success(), "the library is compiled");
    let this = std::env::current_exe().expect("the program's own path");
    let error = Command::new(this).args(std::env::args_os().skip(1)).env(PRELOAD, library).exec();
    panic!("could not begin anew: {error}");
}
