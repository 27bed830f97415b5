//! A stack for what goes down into squawk's trees.

/// squawk's parser goes down into what it reads; `nesting` bounds how deep.
const STACK: usize = 128 * 1024 * 1024;

/// Runs it on a stack that is deep enough.
pub(crate) fn run<T: Send>(work: impl Fn() -> T + Sync) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, &work);
        // Without a thread the caller's own stack has to do.
        thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(&work)
    })
}
