use stopover_model::id::{EnvironmentName, PipelineName};

use super::super::{PipelineRow, PutPipeline};
use super::{Place, at, on_both};

on_both!(environments_exist_once, a_pipeline_gets_a_revision_when_its_text_changes);

async fn environments_exist_once(place: Place) {
    let store = place.open().await;
    let names: Vec<EnvironmentName> = ["staging", "eu_1", "eu-2"].map(|name| name.parse().unwrap()).into();
    for name in &names {
        assert!(store.create_environment(name, at(0)).await.unwrap());
    }
    assert!(!store.create_environment(&names[0], at(1)).await.unwrap());
    let listed = store.environments().await.unwrap();
    assert_eq!(listed.iter().map(EnvironmentName::as_str).collect::<Vec<_>>(), ["eu-2", "eu_1", "staging"]);
}

async fn a_pipeline_gets_a_revision_when_its_text_changes(place: Place) {
    let store = place.open().await;
    let (users, orders): (PipelineName, PipelineName) = ("users".parse().unwrap(), "orders".parse().unwrap());
    let put = async |name, text| store.put_pipeline(name, text, at(0)).await.unwrap();
    assert_eq!(put(&users, "a").await, PutPipeline { revision: 1, changed: true });
    assert_eq!(put(&users, "a").await, PutPipeline { revision: 1, changed: false });
    assert_eq!(put(&users, "b").await, PutPipeline { revision: 2, changed: true });
    assert_eq!(put(&orders, "b").await, PutPipeline { revision: 1, changed: true });
    let stored = store.pipeline(&users).await.unwrap();
    assert_eq!(stored, Some(PipelineRow { toml: "b".to_owned(), revision: 2 }));
    assert_eq!(store.pipeline(&"none".parse().unwrap()).await.unwrap(), None);
    assert_eq!(store.pipeline_names().await.unwrap(), [orders, users]);
}
