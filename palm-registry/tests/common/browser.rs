//! A headless Chromium, driven as WebDriver has it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// What WebDriver calls the reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The keys of a keyboard that have no letter.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// A browser, which ends with the test.
pub struct Browser {
    driver: Child,
    url: String,
    client: reqwest::Client,
}

impl Browser {
    /// Starts one; `None`, and says so, if there is none on this machine and none is required.
    pub async fn start(test: &str) -> Option<Self> {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                let required = std::env::var_os("PALM_BROWSER").is_some_and(|value| value == "required");
                assert!(!required, "chromedriver: {error}; on Debian: apt-get install chromium chromium-driver");
                let why = "there is no chromedriver here; on Debian: apt-get install chromium chromium-driver";
                // Past what is kept back of tests that pass.
                let _ = writeln!(std::io::stderr(), "NOT RUN: {test}: {why}");
                return None;
            }
        };
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let line = lines.map_while(Result::ok).find(|line| line.contains("started successfully on port")).unwrap();
        let port = line.trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
        let client = reqwest::Client::new();
        let url = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { driver, url, client };
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": arguments } });
        let session = browser.post("", json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        browser.url = format!("{}/{}", browser.url, session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.client.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path} {body}: {answer}");
        answer["value"].clone()
    }

    pub async fn go(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Waits until a script returns something that is true.
    pub async fn until(&self, script: &str) {
        for _ in 0..600 {
            if self.run(&format!("return !!({script})")).await == json!(true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let page = self.run("return location.href + '\\n' + document.body.innerText").await;
        panic!("never: {script}\n{}", page.as_str().unwrap_or_default());
    }

    /// Waits for a text on the page.
    pub async fn sees(&self, text: &str) {
        self.until(&format!("document.body && document.body.innerText.includes({})", json!(text))).await;
    }

    async fn find(&self, selector: &str) -> String {
        let found = self.post("/element", json!({ "using": "css selector", "value": selector })).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Types into a field, over what is in it.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/clear"), json!({})).await;
        self.post(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let strokes =
            keys.chars().flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() });
        self.post("/actions", json!({ "actions": [keyboard] })).await;
    }

    /// Presses Tab until what has the focus fits.
    pub async fn tab_to(&self, selector: &str) {
        for _ in 0..60 {
            let fits = format!("return document.activeElement.matches({})", json!(selector));
            if self.run(&fits).await == json!(true) {
                return;
            }
            self.press(TAB).await;
        }
        panic!("Tab does not lead to {selector}");
    }

    /// A command of Chromium's own.
    pub async fn command(&self, name: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": name, "params": parameters })).await
    }

    /// Pretends to be a screen of this size, with a liking for light or dark.
    pub async fn be(&self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.command("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", features).await;
    }

    pub async fn quit(self) {
        let _ = self.client.delete(&self.url).send().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
