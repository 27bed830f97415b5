//! A stage's hooks: what others do around its migrations or its steps, such as deploying the application's code and
//! testing it.

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
    /// None: the stage's migrations, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<HookStep>,
    pub way: HookWay,
    /// What has not passed so long after it was begun has failed.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookWhen {
    /// Of the stage's first migration, with its other gates; of a step, directly before the stage's first one of it.
    Before,
    /// The last migration is there and verified, before the soak; of a step, when the stage's last one of it is done.
    After,
}

/// What of a stage a hook stands before or after. It is asked once for the whole stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookStep {
    Inspect,
    Backup,
    Rehearse,
    Migrate,
    Verify,
    Soak,
}

/// Where in a stage a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookPlace {
    pub when: HookWhen,
    pub step: Option<HookStep>,
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

    #[must_use]
    pub fn place(&self) -> HookPlace {
        HookPlace { when: self.when, step: self.step }
    }
}

impl HookStep {
    pub const ALL: [Self; 6] =
        [Self::Inspect, Self::Backup, Self::Rehearse, Self::Migrate, Self::Verify, Self::Soak];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Backup => "backup",
            Self::Rehearse => "rehearse",
            Self::Migrate => "migrate",
            Self::Verify => "verify",
            Self::Soak => "soak",
        }
    }
}

impl HookPlace {
    /// Of the stage's migrations.
    pub const BEFORE: Self = Self { when: HookWhen::Before, step: None };
    pub const AFTER: Self = Self { when: HookWhen::After, step: None };

    #[must_use]
    pub const fn before(step: HookStep) -> Self {
        Self { when: HookWhen::Before, step: Some(step) }
    }

    #[must_use]
    pub const fn after(step: HookStep) -> Self {
        Self { when: HookWhen::After, step: Some(step) }
    }

    /// "before the backups"
    #[must_use]
    pub fn words(self) -> &'static str {
        match (self.when, self.step) {
            (HookWhen::Before, None) => "before the migrations",
            (HookWhen::After, None) => "after the migrations",
            (HookWhen::Before, Some(HookStep::Inspect)) => "before the inspections",
            (HookWhen::After, Some(HookStep::Inspect)) => "after the inspections",
            (HookWhen::Before, Some(HookStep::Backup)) => "before the backups",
            (HookWhen::After, Some(HookStep::Backup)) => "after the backups",
            (HookWhen::Before, Some(HookStep::Rehearse)) => "before the rehearsals",
            (HookWhen::After, Some(HookStep::Rehearse)) => "after the rehearsals",
            (HookWhen::Before, Some(HookStep::Migrate)) => "directly before the first migration",
            (HookWhen::After, Some(HookStep::Migrate)) => "after the last migration, before its verification",
            (HookWhen::Before, Some(HookStep::Verify)) => "before the first verification",
            (HookWhen::After, Some(HookStep::Verify)) => "after the last verification",
            (HookWhen::Before, Some(HookStep::Soak)) => "before the soak",
            (HookWhen::After, Some(HookStep::Soak)) => "after the soak",
        }
    }

    /// As a pipeline file has it: "before", "after backup".
    fn parse(text: &str) -> Option<Self> {
        let (when, step) = text.split_once(' ').map_or((text, None), |(when, step)| (when, Some(step)));
        let when = match when {
            "before" => HookWhen::Before,
            "after" => HookWhen::After,
            _ => return None,
        };
        let Some(step) = step else { return Some(Self { when, step: None }) };
        let step = HookStep::ALL.into_iter().find(|known| known.as_str() == step.trim())?;
        Some(Self { when, step: Some(step) })
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

/// What of a stage decides on the steps that it has.
pub(super) struct Steps {
    pub rehearses: bool,
    pub soaks: bool,
}

/// Those of a stage, in the order in which they are called.
pub(super) fn read(
    all: Vec<RawHook>,
    steps: &Steps,
    file: &str,
    text: &str,
) -> Result<Vec<Hook>, ConfigError> {
    let mut names = BTreeSet::new();
    if let Some(twice) = all.iter().find(|hook| !names.insert(hook.name.get_ref())) {
        let message = format!("two hooks have the name {}; give each its own", twice.name.get_ref());
        return Err(ConfigError::at(file, text, Some(twice.name.span()), message));
    }
    all.into_iter().map(|hook| hook.read(steps, file, text)).collect()
}

impl RawHook {
    fn read(self, steps: &Steps, file: &str, text: &str) -> Result<Hook, ConfigError> {
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        let Self { name, when, webhook, secret, external, timeout } = self;
        let place = when.map_or(Ok(HookPlace::AFTER), |when| {
            steps.place(when.get_ref()).map_err(|message| at(when.span(), message))
        })?;
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
        Ok(Hook { name: name.into_inner(), when: place.when, step: place.step, way, timeout })
    }
}

impl Steps {
    /// Where a hook is asked, if this stage ever comes there.
    fn place(&self, written: &str) -> Result<HookPlace, String> {
        let named = written.split_once(' ').map(|(_, step)| step.trim());
        let Some(place) = HookPlace::parse(written) else {
            return Err(match named {
                Some("rollback" | "roll back") => format!(
                    "there is no `{written}`: what is taken back waits for nobody; [[notify]] tells others of it, with \
                     events = [\"failed\", \"rolled_back\"]"
                ),
                Some("monitor") => format!(
                    "there is no `{written}`: monitors run all through the soak; use \"before soak\" or \"after soak\""
                ),
                _ => {
                    let steps = HookStep::ALL.map(HookStep::as_str).join(", ");
                    format!(
                        "unknown when `{written}`; use \"before\" or \"after\", where the stage's migrations are meant, or \
                         one of them and a step, such as \"before backup\"; the steps are {steps}"
                    )
                }
            });
        };
        match place.step {
            Some(HookStep::Rehearse) if !self.rehearses => Err(format!(
                "this stage does not rehearse, so that nothing would ever come `{written}`; set rehearse = true, or \
                 leave out the hook"
            )),
            Some(HookStep::Soak) if !self.soaks => Err(format!(
                "this stage has no soak, so that nothing would ever come `{written}`; give it one (soak = \"24h\"), or use \
                 \"after\": the migrations are there and verified then"
            )),
            _ => Ok(place),
        }
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
        // The digest of a pipeline from before hooks had steps stays what it was.
        assert!(json["stages"][0]["hooks"][0].get("step").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), pipeline);
    }

    #[test]
    fn a_hook_stands_before_or_after_any_step_that_the_stage_has() {
        let stage = "name = \"p\"\n[[stage]]\nenvironment = \"s\"\nrehearse = true\nsoak = \"1h\"\n";
        for step in HookStep::ALL {
            for (word, place) in [("before", HookPlace::before(step)), ("after", HookPlace::after(step))] {
                let hook = format!(
                    "[[stage.hook]]\nname = \"a\"\nexternal = true\nwhen = \"{word} {}\"\n",
                    step.as_str()
                );
                let pipeline = Pipeline::parse("pipeline.toml", &format!("{stage}{hook}")).unwrap();
                assert_eq!(pipeline.stages[0].hooks[0].place(), place);
                let json = serde_json::to_value(&pipeline).unwrap();
                assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), pipeline);
            }
        }
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
            ("name = \"a\"\nexternal = true\nwhen = \"before dump\"", "7:8: unknown when `before dump`; use"),
            ("name = \"a\"\nexternal = true\nwhen = \"backup\"", "7:8: unknown when `backup`"),
            ("name = \"a\"\nexternal = true\nwhen = \"after rehearse\"", "7:8: this stage does not rehearse"),
            ("name = \"a\"\nexternal = true\nwhen = \"before soak\"", "7:8: this stage has no soak"),
            ("name = \"a\"\nexternal = true\nwhen = \"after rollback\"", "waits for nobody; [[notify]]"),
            ("name = \"a\"\nexternal = true\nwhen = \"before monitor\"", "use \"before soak\" or"),
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
