//! Reads the answer of `EXPLAIN (FORMAT JSON)`.

use serde_json::Value;

/// A query's plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan(Value);

impl Plan {
    pub(super) fn parse(json: &str) -> Option<Self> {
        let explained: Value = serde_json::from_str(json).ok()?;
        Some(Self(explained.get(0)?.get("Plan")?.clone()))
    }

    /// Whether a node of the plan uses one of these indexes.
    pub(super) fn uses(&self, indexes: &[String]) -> bool {
        let mut nodes = Vec::new();
        collect(&self.0, &mut nodes);
        nodes.iter().filter_map(|node| text(node, "Index Name")).any(|name| indexes.iter().any(|i| i == name))
    }

    /// How the tables are read: "Seq Scan on users".
    pub(super) fn scans(&self) -> String {
        let mut nodes = Vec::new();
        collect(&self.0, &mut nodes);
        let scans: Vec<String> = nodes.into_iter().filter_map(scan).collect();
        match &scans[..] {
            [] => text(&self.0, "Node Type").unwrap_or("a plan without scans").to_owned(),
            scans => scans.join(", "),
        }
    }
}

fn collect<'a>(node: &'a Value, nodes: &mut Vec<&'a Value>) {
    nodes.push(node);
    for child in node.get("Plans").and_then(Value::as_array).into_iter().flatten() {
        collect(child, nodes);
    }
}

fn scan(node: &Value) -> Option<String> {
    let kind = text(node, "Node Type")?;
    let on = text(node, "Relation Name").map(|relation| format!(" on {relation}"));
    let using = text(node, "Index Name").map(|index| format!(" using {index}"));
    (on.is_some() || using.is_some())
        .then(|| format!("{kind}{}{}", using.unwrap_or_default(), on.unwrap_or_default()))
}

fn text<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_deep_in_the_plan_is_found() {
        let json = r#"[{"Plan": {"Node Type": "Limit", "Plans": [
            {"Node Type": "Bitmap Heap Scan", "Relation Name": "users", "Plans": [
                {"Node Type": "Bitmap Index Scan", "Index Name": "i"}]}]}}]"#;
        let plan = Plan::parse(json).unwrap();
        assert!(plan.uses(&["x".to_owned(), "i".to_owned()]));
        assert!(!plan.uses(&["x".to_owned()]));
        assert_eq!(plan.scans(), "Bitmap Heap Scan on users, Bitmap Index Scan using i");
    }

    #[test]
    fn what_is_no_plan_is_none() {
        for text in ["", "[]", "{}", "[{\"Plan\""] {
            assert_eq!(Plan::parse(text), None);
        }
    }
}
