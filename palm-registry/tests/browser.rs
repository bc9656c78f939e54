//! Pages in a real browser. Without one these tests say NOT RUN, unless `PALM_BROWSER=required`.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::browser::{Browser, ENTER, TAB};
use common::{PASSWORD, Registry};
use palm_registry::wire::{Line, Lines, Stream};
use serde_json::json;
use uuid::Uuid;

/// A registry, and a browser in which ann, an admin, is logged in.
struct Seen {
    registry: Registry,
    browser: Browser,
}

impl Seen {
    async fn start(test: &str) -> Option<Self> {
        let browser = Browser::start(test).await?;
        let registry = Registry::start().await;
        registry.session("ann", true).await;
        let seen = Self { registry, browser };
        seen.go("/").await;
        seen.browser.fill("[name=name]", "ann").await;
        seen.browser.fill("[name=password]", PASSWORD).await;
        seen.browser.click("main button").await;
        seen.browser.sees("New cluster").await;
        Some(seen)
    }

    async fn go(&self, path: &str) {
        self.browser.go(&format!("http://{}{path}", self.registry.address)).await;
    }

    /// A cluster of ann's, past the pages: its id and its key.
    async fn cluster(&self) -> (String, String) {
        let token = self.registry.token("ann", true, palm_registry::store::Scope::Admin).await;
        let id = self.registry.cluster(&token).await;
        let ann = self.registry.store.user("ann").await.unwrap().unwrap();
        let key = self.registry.store.clusters_of(&ann).await.unwrap()[0].key.clone();
        (id, key)
    }

    /// A runner's sign of life.
    async fn sync(&self, key: &str) {
        self.say(key, "node", 9, json!([])).await;
    }

    /// What the runner of a node with some slots says of its processes.
    async fn say(&self, key: &str, node: &str, slots: u32, processes: serde_json::Value) {
        let node = json!({ "name": node, "ip": "127.0.0.1", "processors": slots, "ports_from": 5555 });
        let said = json!({ "node": node, "run": Uuid::nil(), "processes": processes });
        self.registry.post("/api/v1/runner/sync").bearer(key).json(&said).send().await.expect(200);
    }

    async fn end(self) {
        // What a page loads without leave, and scripts that fail, are told by name.
        self.browser.quit().await;
    }
}

fn lines(spool: Uuid, from: u64, count: u64) -> Lines {
    let line = |seq| Line {
        seq,
        component: "Worker".to_owned(),
        copy: 1,
        stream: Stream::Err,
        at: 1_700_000_000_000_000 + i64::try_from(seq).unwrap(),
        text: format!("2026-01-01 00:00:00,000 - worker - WARNING - number {seq} <b>"),
    };
    Lines { node: "node".to_owned(), spool, lines: (from..from + count).map(line).collect() }
}

#[tokio::test]
async fn a_cluster_is_made_is_seen_to_live_and_a_wrong_file_is_shown_where_it_is_wrong() {
    let Some(seen) = Seen::start("browser: a cluster").await else { return };
    let browser = &seen.browser;
    browser.click("a.primary").await;
    browser.fill("[name=alias]", "made in a browser").await;
    browser.click("button[value=save]").await;
    browser.sees("The cluster is made").await;
    browser.until("document.querySelectorAll('svg.picture g.card').length === 2").await;
    browser.sees("there is no node").await;

    // A node comes: the page says so without being loaded again.
    browser.run("window.isTheSame = true").await;
    let ann = seen.registry.store.user("ann").await.unwrap().unwrap();
    let row = seen.registry.store.clusters_of(&ann).await.unwrap().remove(0);
    browser.sees("Live").await;
    browser.run("document.querySelector('[aria-label=\"Restart Worker\"]').focus()").await;
    seen.sync(&row.key).await;
    browser.sees("alive").await;
    browser.until("document.querySelector('svg.picture').textContent.includes('127.0.0.1:5555')").await;
    let kept = "window.isTheSame && document.activeElement.ariaLabel === 'Restart Worker'";
    browser.until(kept).await;

    // A question, in a dialog.
    browser.click("a[href$='what=reset']").await;
    browser.until("document.querySelector('dialog[open]')").await;
    browser.click("dialog .danger").await;
    browser.sees("Reset: nodes that ask again").await;

    seen.go(&format!("/clusters/{}/file", row.id)).await;
    browser.until("document.querySelectorAll('.numbers div').length > 5").await;
    browser.fill("#file", "[Master]\nScript = m\nReplicas = some\n").await;
    browser.click("button[value=save]").await;
    browser.sees("Line 3, [Master], Replicas").await;
    browser.until("document.querySelector('.numbers .wrong')?.textContent === '3'").await;
    let selected =
        "(t => t.value.slice(t.selectionStart, t.selectionEnd) === 'Replicas = some')(document.querySelector('#file'))";
    browser.until(selected).await;
    seen.end().await;
}

#[tokio::test]
async fn lines_are_followed_and_however_many_come_the_page_stays_small() {
    let Some(seen) = Seen::start("browser: lines").await else { return };
    let (id, key) = seen.cluster().await;
    let (browser, spool) = (&seen.browser, Uuid::new_v4());
    seen.registry.store.add_lines(&key, lines(spool, 1, 3)).await.unwrap();
    seen.go(&format!("/clusters/{id}/logs")).await;
    browser.until("document.querySelectorAll('.line.warning').length === 3").await;
    browser.click("[data-follow]").await;
    browser.until("document.querySelector('[data-follow]').ariaPressed === 'true'").await;
    seen.registry.store.add_lines(&key, lines(spool, 4, 2)).await.unwrap();
    browser.until("document.querySelectorAll('.line.warning').length === 5").await;
    browser.until("document.querySelector('.line:last-child').textContent.includes('number 5 <b>')").await;
    for batch in 0..6 {
        seen.registry.store.add_lines(&key, lines(spool, 6 + batch * 1000, 1000)).await.unwrap();
    }
    browser.until("document.querySelector('.line:last-child').textContent.includes('number 6005 ')").await;
    browser.until("document.querySelectorAll('.line').length === 3000").await;
    let is_at_end = "(l => l.scrollHeight - l.scrollTop - l.clientHeight < 60)(document.querySelector('#lines'))";
    browser.until(is_at_end).await;
    seen.end().await;
}

#[tokio::test]
async fn a_keyboard_is_enough() {
    let Some(seen) = Seen::start("browser: keyboard").await else { return };
    let (id, _) = seen.cluster().await;
    let browser = &seen.browser;
    seen.go("/").await;
    browser.tab_to(".skip").await;
    browser.until("document.activeElement.getBoundingClientRect().top >= 0").await;
    browser.press(ENTER).await;
    browser.until("document.activeElement.id === 'main'").await;
    browser.tab_to(&format!("a[href='/clusters/{id}']")).await;
    let outlined = "getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    browser.until(outlined).await;
    browser.press(ENTER).await;
    browser.sees("The whole cluster").await;
    browser.tab_to("[aria-label='Stop Worker']").await;
    browser.press(ENTER).await;
    browser.sees("Stopped: the nodes end it").await;
    browser.tab_to("a[href$='what=delete']").await;
    browser.press(ENTER).await;
    browser.until("document.querySelector('dialog[open]') && document.activeElement.textContent === 'Cancel'").await;
    browser.press("\u{e00c}").await;
    browser.until("!document.querySelector('dialog') && document.activeElement.textContent === 'Delete…'").await;
    seen.end().await;
}

/// Buttons that are less than 4 px apart, also in what is folded.
const TOUCHING: &str = "document.querySelectorAll('details').forEach((one) => { one.open = true; });
    const all = [...document.querySelectorAll('main button, main .button')].filter((one) => one.checkVisibility());
    const touch = (a, b) => a.left < b.right + 4 && b.left < a.right + 4 && a.top < b.bottom + 4 && b.top < a.bottom + 4;
    return all.flatMap((one, index) => all.slice(index + 1)
        .filter((other) => touch(one.getBoundingClientRect(), other.getBoundingClientRect()))
        .map((other) => `${one.textContent} / ${other.textContent}`));";

#[tokio::test]
async fn pages_fit_a_phone_have_names_for_all_fields_and_contrast_in_light_and_dark() {
    let Some(seen) = Seen::start("browser: phone").await else { return };
    let (id, key) = seen.cluster().await;
    seen.sync(&key).await;
    seen.registry.store.add_lines(&key, lines(Uuid::new_v4(), 1, 30)).await.unwrap();
    let own = format!("/clusters/{id}");
    let of_cluster = [
        "",
        "/processes",
        "/processes?state=failed",
        "/logs",
        "/file",
        "/versions",
        "/settings",
        "/audit",
        "/confirm?what=reset",
    ]
    .map(|path| format!("{own}{path}"));
    let paths =
        ["/", "/clusters/new", "/nodes", "/users", "/tokens", "/audit", "/account", "/nothing"].map(str::to_owned);
    let browser = &seen.browser;
    for path in paths.into_iter().chain(of_cluster) {
        for (width, scheme) in [(360, "light"), (1280, "dark")] {
            browser.be(width, scheme).await;
            seen.go(&path).await;
            let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
            assert!(wide.as_i64().unwrap() <= 0, "{path} is {wide} px wider than {width} px");
            let touching = browser.run(TOUCHING).await;
            assert_eq!(touching, json!([]), "{path}, {width} px: buttons without room between them");
            let faint = browser.run(FAINT).await;
            assert_eq!(faint, json!([]), "{path}, {scheme}: text that is hard to read");
        }
        let nameless = browser.run(NAMELESS).await;
        assert_eq!(nameless, json!([]), "{path}: fields without a name");
    }
    browser.be(1280, "light").await;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(ground).await;
    browser.be(1280, "dark").await;
    assert_ne!(browser.run(ground).await, light);
    seen.end().await;
}

fn process(component: &str, copy: u32, state: &str, rate: Option<f64>) -> serde_json::Value {
    let messages = rate.map(|_| 1_234_567);
    json!({ "component": component, "copy": copy, "state": state, "since": 1, "pid": 7, "messages": messages, "rate": rate })
}

#[tokio::test]
async fn lists_change_by_themselves_but_not_while_nobody_sees_them() {
    let Some(seen) = Seen::start("browser: lists").await else { return };
    let (id, key) = seen.cluster().await;
    let browser = &seen.browser;
    for (path, before, after) in
        [("/", "there is no node", "no node has 1 slot free"), ("/nodes", "a cluster", "node-2")]
    {
        seen.go(path).await;
        browser.sees(before).await;
        let link = format!("a[href='/clusters/{id}']");
        browser.run(&format!("window.isTheSame = true; document.querySelector(\"{link}\").focus()")).await;
        // Nobody looks: two times that it would have been asked for pass.
        browser.run(HIDDEN).await;
        seen.say(&key, if path == "/" { "node" } else { "node-2" }, 1, json!([])).await;
        browser.until("window.passed >= 2").await;
        assert_eq!(
            browser.run("return [window.asked, document.body.innerText.includes('node-2')]").await,
            json!([0, false])
        );
        browser.run("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))").await;
        browser.sees(after).await;
        browser.until(&format!("window.isTheSame && document.activeElement.matches(\"{link}\")")).await;
    }
    // It goes on, and says when it cannot.
    browser.sees("Live").await;
    browser.run("window.fetch = () => Promise.reject(new TypeError('away'))").await;
    browser.sees("trying again").await;
    seen.end().await;
}

/// Has a page think that nobody sees it; counts what it asks for, and the times at which it would.
const HIDDEN: &str = "
    window.isHidden = true;
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.isHidden });
    window.asked = 0;
    window.passed = 0;
    const fetch = window.fetch;
    window.fetch = (...what) => { window.asked += 1; return fetch(...what); };
    setInterval(() => { window.passed += 1; }, Number(document.querySelector('#live').dataset.every));";

#[tokio::test]
async fn the_picture_shows_what_each_node_has_and_how_much_it_does() {
    let Some(seen) = Seen::start("browser: picture").await else { return };
    let (id, key) = seen.cluster().await;
    let browser = &seen.browser;
    let long = "node-1 with a name that is too long for it";
    seen.say(&key, long, 2, json!([])).await;
    seen.say(&key, "node-2", 1, json!([])).await;
    let both = json!([process("Master", 0, "ready", Some(25_000.4)), process("Worker", 0, "running", Some(99.5))]);
    let one = json!([process("Worker", 1, "failed", None)]);
    let store = seen.registry.store.clone();
    // Their runners go on, for as long as somebody looks.
    let alive = tokio::spawn(async move {
        let said = [(long, 2, both), ("node-2", 1, one)].map(|(name, slots, processes)| {
            let node = json!({ "name": name, "ip": "127.0.0.1", "processors": slots, "ports_from": 5555 });
            serde_json::from_value(json!({ "node": node, "run": Uuid::nil(), "processes": processes })).unwrap()
        });
        loop {
            for said in &said {
                store.hear(&key, said).await.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    });
    seen.go(&format!("/clusters/{id}")).await;
    let texts = "[...document.querySelectorAll('svg.picture text')].map((text) => text.textContent)";
    for part in ["25,000/s", "100/s", "node-2", "1 running, 1 failed, 1 n…"] {
        browser.until(&format!("{texts}.includes({})", json!(part))).await;
    }
    browser.until("document.querySelectorAll('svg.picture g.node').length === 4").await;
    browser.sees("Worker 1 on node-2: failed").await;
    browser.sees("1,234,567").await;
    for width in [360, 1280] {
        browser.be(width, "light").await;
        assert_eq!(browser.run(OUTSIDE).await, json!([]), "texts that are not within what they are about");
    }
    // One that says nothing any more is seen, too.
    alive.abort();
    browser.until(&format!("{texts}.includes('▲ node-2')")).await;
    seen.end().await;
}

/// Texts of the picture that are not in their boxes, or upon each other.
const OUTSIDE: &str = "
    const outside = [];
    for (const card of document.querySelectorAll('svg.picture g.card')) {
        const box = card.querySelector('.box').getBoundingClientRect();
        const texts = [...card.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
        for (const [text, at] of texts) {
            if (at.left < box.left || at.right > box.right || at.top < box.top || at.bottom > box.bottom) outside.push(text);
        }
        for (const [text, at] of [...texts, ...[...card.querySelectorAll('.mark')].map((mark) => ['mark', mark.getBoundingClientRect()])]) {
            for (const [other, beside] of texts) {
                const apart = at.right <= beside.left || at.left >= beside.right || at.bottom - 4 <= beside.top || at.top >= beside.bottom - 4;
                if (text !== other && !apart) outside.push(`${text} / ${other}`);
            }
        }
    }
    return outside;";

#[tokio::test]
async fn each_action_is_reached_by_tab_and_the_focus_is_seen() {
    let Some(seen) = Seen::start("browser: tab").await else { return };
    let (id, key) = seen.cluster().await;
    seen.sync(&key).await;
    let of_cluster = ["", "/processes", "/logs", "/file", "/versions", "/settings", "/confirm?what=delete"];
    let of_cluster = of_cluster.map(|path| format!("/clusters/{id}{path}"));
    let paths = ["/", "/clusters/new", "/nodes", "/tokens", "/users", "/account"].map(str::to_owned);
    let browser = &seen.browser;
    for (path, width) in paths.into_iter().chain(of_cluster).zip([1280, 360].into_iter().cycle()) {
        browser.be(width, "light").await;
        seen.go(&path).await;
        let count = browser.run(ACTIONS).await.as_u64().unwrap();
        assert!(count > 5, "{path}");
        // A field for an instant has several stops.
        for _ in 0..count + 30 {
            browser.press(TAB).await;
            if browser.run(FOCUSED).await == json!(true) {
                break;
            }
        }
        let missed = browser
            .run("return window.actions.filter((one) => !one.wasFocused).map((one) => one.outerHTML.slice(0, 99))")
            .await;
        assert_eq!(missed, json!([]), "{path}: not reached by Tab");
        assert_eq!(browser.run("return window.unseen").await, json!([]), "{path}: the focus is not seen");
    }
    // The states of processes, without a mouse.
    seen.go(&format!("/clusters/{id}/processes")).await;
    browser.tab_to("select[name=state]").await;
    browser.press("w").await;
    browser.tab_to(".filters button").await;
    browser.press(ENTER).await;
    browser.until("location.search.includes('state=waiting')").await;
    browser.sees("No process is like that").await;
    seen.end().await;
}

/// Finds all that somebody can do on a page.
const ACTIONS: &str = "
    const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex=\"0\"]')];
    window.actions = all.filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled
        && !(one.type === 'radio' && !one.checked));
    window.unseen = [];
    return window.actions.length;";

/// Notes what has the focus, and whether that is seen: it has an outline, or what is around it has, and it is on the screen.
const FOCUSED: &str = "
    const one = document.activeElement;
    one.wasFocused = true;
    if (one === document.body || one === document.documentElement) return false;
    const outlined = [one, one.parentElement].some((part) => {
        const style = getComputedStyle(part);
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    });
    const at = one.getBoundingClientRect();
    const shown = at.bottom > 0 && at.top < innerHeight && at.right > 0 && at.left < innerWidth;
    if (!outlined || !shown) window.unseen.push(one.outerHTML.slice(0, 99));
    return window.actions.every((other) => other.wasFocused);";

/// Fields and buttons that no label or text names.
const NAMELESS: &str = "
    return [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')]
        .filter((field) => !(field.labels?.length || field.ariaLabel || field.textContent.trim()))
        .map((field) => field.outerHTML)";

/// Texts whose contrast with what is behind them is below 4.5.
const FAINT: &str = r"
    const channel = (value) => { const part = value / 255; return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; };
    const parse = (colour) => { const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
    const luminance = ({ r, g, b }) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.a > 0.99) return colour;
        }
        return { r: 255, g: 255, b: 255 };
    };
    const faint = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || element.closest('svg, script, option') || !element.getClientRects().length) continue;
        const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${walker.currentNode.data.trim().slice(0, 40)}`);
    }
    return faint;";
