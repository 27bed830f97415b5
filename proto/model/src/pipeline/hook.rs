//! A stage's hooks: what others do around its migrations, such as deploying the application's code and testing it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::check_url;
use crate::config::ConfigError;
use crate::id::{HookName, SecretName};

/// What is called has so long.
const CALLED_TIMEOUT: Duration = Duration::from_hours(1);
/// What somebody does and says has so long.
const EXTERNAL_TIMEOUT: Duration = Duration::from_hours(24 * 7);
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24 * 90);

/// One of them. The stage goes on when it has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub name: HookName,
    pub when: HookWhen,
    pub way: HookWay,
    /// What has not passed so long after it was begun has failed.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookWhen {
    /// Of the stage's first migration.
    Before,
    /// The last one is there and verified; before the soak.
    After,
}

/// How it is begun, and who says how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HookWay {
    /// Called with a signed POST; who is called answers at once, or calls back.
    Webhook { url: String, secret: SecretName },
    /// Nobody is called: a person or a program does it, and says so.
    External,
}

impl Hook {
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.way == HookWay::External
    }
}

/// Why a hook can't have so long.
pub fn check_timeout(timeout: Duration) -> Result<(), &'static str> {
    if timeout < SHORTEST_TIMEOUT {
        return Err("is less than 1 s");
    }
    if timeout > LONGEST_TIMEOUT { Err("is more than 90 days") } else { Ok(()) }
}

/// `[[stage.hook]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHook {
    name: Spanned<HookName>,
    when: Option<Spanned<String>>,
    webhook: Option<Spanned<String>>,
    secret: Option<Spanned<SecretName>>,
    external: Option<Spanned<bool>>,
    timeout: Option<Spanned<String>>,
}

/// Those of a stage, in the order in which they are called.
pub(super) fn read(all: Vec<RawHook>, file: &str, text: &str) -> Result<Vec<Hook>, ConfigError> {
    let mut names = BTreeSet::new();
    if let Some(twice) = all.iter().find(|hook| !names.insert(hook.name.get_ref())) {
        let message = format!("two hooks have the name {}; give each its own", twice.name.get_ref());
        return Err(ConfigError::at(file, text, Some(twice.name.span()), message));
    }
    all.into_iter().map(|hook| hook.read(file, text)).collect()
}

impl RawHook {
    fn read(self, file: &str, text: &str) -> Result<Hook, ConfigError> {
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        let Self { name, when, webhook, secret, external, timeout } = self;
        let when = match when.as_ref().map(|v| (v.get_ref().as_str(), v.span())) {
            None | Some(("after", _)) => HookWhen::After,
            Some(("before", _)) => HookWhen::Before,
            Some((other, span)) => {
                let message = format!(
                    "unknown when `{other}`; use \"before\" or \"after\": the stage's migrations are meant"
                );
                return Err(at(span, message));
            }
        };
        if let Some(secret) = secret.as_ref().filter(|_| webhook.is_none()) {
            let message = "`secret` names the key that a `webhook` is signed with, and there is none here";
            return Err(at(secret.span(), message.into()));
        }
        let is_external = external.as_ref().is_some_and(|external| *external.get_ref());
        let way = match (webhook, is_external) {
            (Some(url), false) => {
                check_url(url.get_ref()).map_err(|why| at(url.span(), why))?;
                let secret = secret.ok_or_else(|| {
                    let message = "the hook needs a `secret`: the name of one of server.toml's [secrets], which signs the \
                                   call, and its receiver's answer where that comes later";
                    at(url.span(), message.into())
                })?;
                HookWay::Webhook { url: url.into_inner(), secret: secret.into_inner() }
            }
            (None, true) => HookWay::External,
            _ => {
                let message = format!(
                    "the hook {} has one of two: webhook = URL with a secret, which is called, or external = true, where \
                     `stopover pass` says that it is done",
                    name.get_ref()
                );
                return Err(at(name.span(), message));
            }
        };
        let usual = if way == HookWay::External { EXTERNAL_TIMEOUT } else { CALLED_TIMEOUT };
        let timeout = timeout.map_or(Ok(usual), |v| {
            let timeout = crate::duration::parse(v.get_ref()).map_err(|why| at(v.span(), why))?;
            let checked = check_timeout(timeout);
            checked.map_err(|why| at(v.span(), format!("`timeout` {why}; nothing could be waited for")))?;
            Ok(timeout)
        })?;
        Ok(Hook { name: name.into_inner(), when, way, timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Pipeline;

    fn parse(hook: &str) -> Result<Pipeline, String> {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n[[stage.hook]]\n{hook}\n");
        Pipeline::parse("pipeline.toml", &text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_hook_is_called_or_waited_for_and_comes_after_the_migration_unless_it_says_otherwise() {
        let called = "name = \"deploy\"\nwebhook = \"https://ci/x\"\nsecret = \"ci\"";
        let hooks = parse(called).unwrap().stages.remove(0).hooks;
        assert_eq!((hooks[0].when, hooks[0].timeout), (HookWhen::After, Duration::from_hours(1)));
        let external = "name = \"tests\"\nexternal = true\nwhen = \"before\"";
        let pipeline = parse(external).unwrap();
        let hook = &pipeline.stages[0].hooks[0];
        assert!(hook.is_external());
        assert_eq!((hook.when, hook.timeout), (HookWhen::Before, Duration::from_hours(7 * 24)));
        let json = serde_json::to_value(&pipeline).unwrap();
        assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), pipeline);
    }

    #[test]
    fn what_makes_no_hook_is_refused_where_it_stands() {
        for (hook, expected) in [
            ("name = \"a b\"\nexternal = true", "5:8: "),
            ("name = \"a\"", "5:8: the hook a has one of two"),
            ("name = \"a\"\nexternal = false", "the hook a has one of two"),
            ("name = \"a\"\nexternal = true\nwebhook = \"https://x\"\nsecret = \"s\"", "has one of two"),
            ("name = \"a\"\nwebhook = \"https://x\"", "6:11: the hook needs a `secret`"),
            ("name = \"a\"\nwebhook = \"ftp://x\"\nsecret = \"s\"", "6:11: `ftp://x` is no web address"),
            ("name = \"a\"\nexternal = true\nsecret = \"s\"", "7:10: `secret` names the key"),
            ("name = \"a\"\nexternal = true\nwhen = \"during\"", "7:8: unknown when `during`"),
            ("name = \"a\"\nexternal = true\ntimeout = \"0s\"", "7:11: `timeout` is less than 1 s"),
            ("name = \"a\"\nexternal = true\ntimeout = \"91d\"", "`timeout` is more than 90 days"),
            ("name = \"a\"\nexternal = true\ntimeout = \"long\"", "`long` is not a duration"),
            ("name = \"a\"\nexternal = true\ntimeuot = \"1h\"", "did you mean `timeout`?"),
            (
                "name = \"a\"\nexternal = true\n[[stage.hook]]\nname = \"a\"\nexternal = true",
                "8:8: two hooks have the name a",
            ),
        ] {
            let error = parse(hook).unwrap_err();
            assert!(error.contains(expected), "{hook} gave {error}");
        }
    }
}
