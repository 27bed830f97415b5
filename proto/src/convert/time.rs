//! Times and durations between jiff, std and protobuf's well-known types.

use std::time::Duration;

use jiff::Timestamp;

use super::error::InvalidWire;

/// Ten thousand years: the most that protobuf's Duration may hold.
const LONGEST_SECONDS: u64 = 315_576_000_000;
const NANOS_PER_SECOND: i32 = 1_000_000_000;

/// What is longer than protobuf can say becomes the longest that it can.
pub(super) fn duration_to_wire(duration: Duration) -> prost_types::Duration {
    if duration.as_secs() >= LONGEST_SECONDS {
        return prost_types::Duration { seconds: LONGEST_SECONDS.cast_signed(), nanos: 0 };
    }
    prost_types::Duration {
        seconds: duration.as_secs().cast_signed(),
        nanos: duration.subsec_nanos().cast_signed(),
    }
}

pub(super) fn duration_from_wire(wire: prost_types::Duration) -> Result<Duration, InvalidWire> {
    let seconds = u64::try_from(wire.seconds).ok().filter(|seconds| *seconds <= LONGEST_SECONDS);
    let nanos = nanos_from_wire(wire.nanos);
    seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos.cast_unsigned())).ok_or_else(
        || {
            let (seconds, nanos) = (wire.seconds, wire.nanos);
            let why =
                format!("{seconds} s and {nanos} ns is not a duration: it lies between 0 and 10,000 years");
            InvalidWire::new("", why)
        },
    )
}

pub(super) fn timestamp_to_wire(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (at.as_second(), at.subsec_nanosecond());
    // protobuf's nanoseconds count forward, before 1970 as well.
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + NANOS_PER_SECOND }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}

pub(super) fn timestamp_from_wire(wire: prost_types::Timestamp) -> Result<Timestamp, InvalidWire> {
    nanos_from_wire(wire.nanos).and_then(|nanos| Timestamp::new(wire.seconds, nanos).ok()).ok_or_else(|| {
        InvalidWire::new("", format!("{} s and {} ns is not a time", wire.seconds, wire.nanos))
    })
}

fn nanos_from_wire(nanos: i32) -> Option<i32> {
    (0..NANOS_PER_SECOND).contains(&nanos).then_some(nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_time_comes_back(
            seconds in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
            nanos in 0..NANOS_PER_SECOND,
        ) {
            let at = Timestamp::new(seconds, nanos).unwrap();
            let wire = timestamp_to_wire(at);
            prop_assert!((0..NANOS_PER_SECOND).contains(&wire.nanos));
            prop_assert_eq!(timestamp_from_wire(wire).unwrap(), at);
        }

        #[test]
        fn every_duration_comes_back(seconds in 0..LONGEST_SECONDS, nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(duration_from_wire(duration_to_wire(duration)).unwrap(), duration);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_and_says_what_came() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, NANOS_PER_SECOND), (i64::MAX, 0)] {
            let error = duration_from_wire(prost_types::Duration { seconds, nanos }).unwrap_err();
            assert!(error.why.starts_with(&format!("{seconds} s and {nanos} ns is not")), "{error}");
        }
        for (seconds, nanos) in [(i64::MAX, 0), (0, -1), (0, NANOS_PER_SECOND)] {
            assert!(timestamp_from_wire(prost_types::Timestamp { seconds, nanos }).is_err());
        }
    }

    #[test]
    fn the_longest_durations_are_cut_to_what_can_be_said() {
        let cut = duration_from_wire(duration_to_wire(Duration::MAX)).unwrap();
        assert_eq!(cut, Duration::from_secs(LONGEST_SECONDS));
    }
}
