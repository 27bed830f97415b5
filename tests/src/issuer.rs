//! An identity provider on this machine: panva's oidc-provider under Node.js, over TLS, with its own pages for people.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, program};
use crate::wait::eventually;

/// Ends with its value.
pub struct Issuer {
    process: Process,
    /// As it stands in its tokens.
    pub origin: String,
    modules: PathBuf,
    directory: TempDir,
}

impl Issuer {
    /// With these people and their groups; what it gives is good for so many seconds, refresh tokens for an hour.
    ///
    /// # Panics
    /// When it can't be installed or started.
    pub async fn start(people: &[(&str, &[&str])], lifetime: u32) -> Self {
        let modules = installed().await;
        let directory = tempfile::Builder::new().prefix("stopover-issuer-").tempdir().expect("a directory");
        let place = |name: &str| directory.path().join(name);
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(place("ca.pem"), own.cert.pem()).expect("a file can be written");
        fs::write(place("key.pem"), own.signing_key.serialize_pem()).expect("a file can be written");
        let people: serde_json::Map<String, Value> =
            people.iter().map(|(name, groups)| ((*name).to_owned(), json!(groups))).collect();
        let settings = json!({
            "key": place("key.pem"), "certificate": place("ca.pem"), "port_file": place("port"),
            "lifetime": lifetime, "people": people,
        });
        let mut command = Command::new("node");
        command.arg(modules.join("issuer.mjs")).arg(settings.to_string()).current_dir(&modules);
        let mut process = Process::spawn("node", &place("log"), command);
        let running = std::cell::RefCell::new(&mut process);
        let origin = eventually("the identity provider's port", || async {
            assert!(running.borrow_mut().is_running(), "it ended: {}", running.borrow().output());
            fs::read_to_string(place("port")).ok()
        })
        .await;
        Self { process, origin, modules, directory }
    }

    /// The authority of its certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// `[oidc]` of a server.toml.
    #[must_use]
    pub fn settings(&self) -> String {
        format!(
            "[oidc]\nissuer = \"{}\"\nclient_id = \"stopover\"\nca = \"{}\"\n",
            self.origin,
            self.ca().display()
        )
    }

    /// What it has logged so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    pub fn kill(&mut self) {
        self.process.kill9();
    }

    /// Somebody opens the page in a browser, logs in, and agrees or does not; gives what they read at last.
    ///
    /// # Panics
    /// When there is no such page.
    pub async fn visit(&self, prompt: &Value, name: &str, agrees: bool) -> String {
        let text =
            |key: &str| prompt[key].as_str().unwrap_or_else(|| panic!("no {key}: {prompt}")).to_owned();
        let mut command = Command::new("node");
        command
            .arg(self.modules.join("browser.mjs"))
            .args([text("verification_uri"), text("user_code")])
            .args([name, if agrees { "yes" } else { "no" }])
            .env("NODE_EXTRA_CA_CERTS", self.ca());
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("the browser's thread")
            .expect("node can be started");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Beside what cargo has built, once for all tests.
async fn installed() -> PathBuf {
    let server = program("stopover-server");
    let target = server.ancestors().nth(2).expect("programs lie in target/PROFILE");
    let modules = target.join("issuer");
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("issuer/install"));
    command.arg(&modules);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("the installation's thread")
        .expect("bash is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    modules
}
