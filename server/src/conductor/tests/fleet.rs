//! What the registry says of databases that more than one tunnel leads to.

use stopover_model::id::EnvironmentName;

use super::*;

#[tokio::test]
async fn a_database_that_two_agents_serve_is_disputed_until_one_of_them_goes() {
    let bench = Bench::start().await;
    let staging: EnvironmentName = "staging".parse().unwrap();
    let first = bench.registry.agents().remove(0);
    let again = bench.registry.connect(first.clone());
    assert!(bench.registry.disputed(&staging).is_empty(), "another tunnel of the same agent is no dispute");
    let other = AgentLink { agent: "b".parse().unwrap(), ..first };
    let second = bench.registry.connect(other);
    let disputed = bench.registry.disputed(&staging);
    assert_eq!(disputed, [("users".parse().unwrap(), "a".parse().unwrap())].into(), "with the older one");
    drop(second);
    assert!(bench.registry.disputed(&staging).is_empty());
    drop(again);
}
