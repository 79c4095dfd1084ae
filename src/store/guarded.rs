//! Turns a panic of the engine into an error: on damaged files it panics where it should return one.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `call`, which must leave nothing behind that a panic half-way would make wrong: here the
/// engine's handle, which is not used after an error. A panic comes back as its message, and is not
/// printed; panics elsewhere are reported as ever.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    keep_guarded_panics_quiet();
    let outer = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IS_GUARDED.set(outer);
    result.map_err(|_| LAST_PANIC.take())
}

fn keep_guarded_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |info| if IS_GUARDED.get() { note(info) } else { report(info) }));
    });
}

fn note(info: &PanicHookInfo) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let first_line = text.and_then(|text| text.lines().next()).unwrap_or("a panic without words");
    LAST_PANIC.set(first_line.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_as_its_first_line() {
        assert_eq!(guarded(|| 7), Ok(7));
        assert_eq!(
            guarded(|| panic!("page {} is gone\nbacktrace", 3)),
            Err::<(), _>("page 3 is gone".into())
        );
        assert_eq!(guarded(|| 8), Ok(8));
    }
}
