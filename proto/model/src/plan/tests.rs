use super::*;

#[test]
fn thousands_are_grouped() {
    assert_eq!(
        [0, 999, 1_000, 300_000, 1_234_567].map(grouped),
        ["0", "999", "1,000", "300,000", "1,234,567"]
    );
}
