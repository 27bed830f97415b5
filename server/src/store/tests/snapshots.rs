use uuid::Uuid;

use super::{Place, create, id, on_both};
use crate::store::{Kept, Snapshot};
use stopover_model::id::Seq;

on_both!(the_last_one_of_each_kind_is_kept_for_who_can_read_it);

async fn the_last_one_of_each_kind_is_kept_for_who_can_read_it(place: Place) {
    let store = place.open().await;
    let of = id(7);
    create(&store, &of, 0, Uuid::new_v4()).await;
    assert_eq!(store.snapshot(&of, Kept::State, "a").await.unwrap(), None);
    let put = async |kind, form, seq, body: &[u8]| {
        store.keep_snapshot(&of, kind, form, Snapshot { seq: Seq(seq), body }).await.unwrap();
    };
    put(Kept::State, "a", 3, b"three\0").await;
    put(Kept::State, "a", 9, b"nine").await;
    put(Kept::Glance, "a", 3, b"glance").await;
    let found = |snapshot: Option<Snapshot<Vec<u8>>>| snapshot.map(|s| (s.seq.0, s.body));
    let state = found(store.snapshot(&of, Kept::State, "a").await.unwrap());
    assert_eq!(state, Some((9, b"nine".to_vec())));
    let glance = found(store.snapshot(&of, Kept::Glance, "a").await.unwrap());
    assert_eq!(glance, Some((3, b"glance".to_vec())));
    assert_eq!(store.snapshot(&of, Kept::State, "b").await.unwrap(), None, "another build's");
    put(Kept::State, "b", 10, b"ten").await;
    assert_eq!(store.snapshot(&of, Kept::State, "a").await.unwrap(), None, "it made room for the other");
}
