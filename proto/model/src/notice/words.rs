//! A notice in words: for mail, for Slack, and as JSON with both the words and what they are made of.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Notice;

impl Notice {
    /// One line, for a mail's subject.
    #[must_use]
    pub fn subject(&self) -> String {
        one_line(&format!("[stopover] {}: {}", self.pipeline, self.happened))
    }

    /// For people, as plain text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}.\n\n", one_line(&self.happened));
        for (label, lines) in self.facts() {
            for (n, line) in lines.iter().enumerate() {
                let label = if n == 0 { label } else { "" };
                // Writing into a String can't fail.
                let _ = writeln!(text, "{label:12}{line}");
            }
        }
        if !self.commands.is_empty() {
            text.push_str("\nWhat to type:\n");
        }
        let widest = self.commands.iter().map(|typed| typed.command.chars().count()).max().unwrap_or(0);
        for typed in &self.commands {
            let _ = writeln!(text, "    {:widest$}   {}", typed.command, typed.effect);
        }
        text
    }

    /// For Slack's incoming webhooks, in its mark-up.
    #[must_use]
    pub fn slack(&self) -> Value {
        let mut text = format!("{} *{}: {}*", self.sign(), self.pipeline, for_slack(&self.happened));
        for (label, lines) in self.facts() {
            let lines: Vec<_> = lines.iter().map(|line| for_slack(line)).collect();
            let _ = write!(text, "\n*{label}*  {}", lines.join("\n        "));
        }
        for typed in &self.commands {
            let _ = write!(text, "\n`{}`  {}", for_slack(&typed.command), for_slack(&typed.effect));
        }
        json!({ "text": text })
    }

    /// For programs, and for those who pass the words on.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut data = serde_json::to_value(self).unwrap_or_default();
        if let Value::Object(fields) = &mut data {
            fields.insert("subject".into(), self.subject().into());
            fields.insert("text".into(), self.text().into());
        }
        let kind = if self.about.is_some() { self.kind.as_str() } else { "trial" };
        json!({ "type": format!("deployment.{kind}"), "timestamp": self.at, "data": data })
    }

    fn facts(&self) -> Vec<(&'static str, Vec<String>)> {
        let mut facts = vec![("Pipeline", vec![self.pipeline.to_string()])];
        if let Some(about) = &self.about {
            let names: Vec<_> = about.migrations.iter().map(ToString::to_string).collect();
            let of = format!("{} by {}: {}", about.deployment, about.by, shortened(&names));
            facts.push(("Deployment", vec![of]));
        }
        facts.extend(self.environment.iter().map(|environment| ("Where", vec![environment.to_string()])));
        facts.push(("When", vec![self.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()]));
        facts.extend(self.cause.iter().map(|cause| ("Cause", vec![one_line(cause)])));
        if !self.evidence.is_empty() {
            facts.push(("Evidence", self.evidence.iter().map(|line| one_line(line)).collect()));
        }
        facts.extend(self.who.iter().map(|who| ("Who acts", vec![who.clone()])));
        if !self.contacts.is_empty() {
            facts.push(("Contacts", vec![one_line(&self.contacts.join(", "))]));
        }
        facts
    }

    /// What is seen before a word is read.
    fn sign(&self) -> &'static str {
        use crate::pipeline::NoticeKind as Kind;
        match self.kind {
            Kind::Failed | Kind::FollowUpFailed => ":red_circle:",
            _ if self.waits => ":large_yellow_circle:",
            Kind::Cancelled | Kind::RolledBack => ":large_orange_circle:",
            Kind::Succeeded | Kind::StageSucceeded => ":large_green_circle:",
            Kind::Started | Kind::Waiting | Kind::Paused | Kind::Resumed => ":large_blue_circle:",
        }
    }
}

fn shortened(names: &[String]) -> String {
    match names {
        [one, two, three, more @ ..] if !more.is_empty() => {
            format!("{one}, {two}, {three} and {} more", more.len())
        }
        all => all.join(", "),
    }
}

/// What came from a database may hold anything; a line is a line, and says nothing to a terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_control()).map(str::trim).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Nothing in it is mark-up, nor rings for a whole channel.
fn for_slack(text: &str) -> String {
    one_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
