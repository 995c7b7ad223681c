//! `build --report` and `jettison report`: one page that stands by itself, as a browser shows it.
//!
//! Screenshots stay in the target folder (`report/`), for whoever wants to look.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::browser::Browser;
use crate::fixture::{Jettison, folder, have, skip};

const DOCKERFILE: &str = "\
FROM busybox AS assets
RUN sleep 0.3; mkdir /assets; head -c 300000 /dev/zero > /assets/logo.png; head -c 90000 /dev/zero > /assets/style.css
FROM busybox AS build
COPY src /src
RUN sleep 0.5; mkdir -p /usr/lib/big /usr/share/doc && head -c 9000000 /dev/zero > /usr/lib/big/a && head -c 4000000 /dev/zero > /usr/share/doc/b
RUN sleep 0.2; cat /src/* > /out
FROM scratch
COPY --from=build /out /app/out
COPY --from=assets /assets /assets
CMD [\"out\"]
";

fn project() -> TempDir {
    let hostile = "<script>alert(1)</script>&\"'";
    folder(DOCKERFILE, &[("src/a.txt", "a\n"), (&format!("src/{}", hostile.replace('/', "_")), "b\n")])
}

#[test]
fn the_page_has_everything_and_asks_for_nothing() {
    let jettison = Jettison::with_busybox();
    let folder = project();
    let page = folder.path().join("report.html");
    let report = format!("--report={}", page.display());
    jettison.build(folder.path(), &["-t", "app", &report]);
    fs::write(folder.path().join("src/a.txt"), "changed\n").unwrap();
    fs::remove_file(&page).unwrap();
    jettison.build(folder.path(), &["-t", "app", &report]);
    let html = fs::read_to_string(&page).unwrap();
    for words in [
        "src/a.txt: content",
        "from the cache",
        "It cannot start",
        "thrown overboard",
        "stage build",
        "/usr/lib",
        "/assets",
        "CMD [&quot;/app/out&quot;]",
        "Content-Security-Policy",
    ] {
        assert!(html.contains(words), "no {words:?} in {html}");
    }
    let without = html.replace("http-equiv", "");
    for words in ["http:", "https:", "<script", "url(", "src=", "@import"] {
        let inside = without.replace("url(#arrow)", "");
        assert!(!inside.contains(words), "{words:?} is in the page");
    }
    assert_eq!(jettison.run(&["report"]).ok(), html.trim_end(), "the last build is the same");
    // busybox has hundreds of names, and counts once: without that it would be half a gigabyte.
    let overboard =
        html.split("overboard, stage build: ").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    assert!(overboard.ends_with("MB") && overboard.len() <= 6, "{overboard}");
    screenshots(&page);
    by_keyboard_and_at_phone_width(&page);
}

#[test]
fn a_failed_build_has_a_report_too() {
    let jettison = Jettison::with_busybox();
    let folder = folder("FROM busybox\nRUN true\nRUN exit 3\nRUN never\n", &[]);
    let page = folder.path().join("report.html");
    jettison.try_build(folder.path(), &[&format!("--report={}", page.display())]).fails(1);
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("<dd>failed</dd>") && html.contains("not needed"), "{html}");
}

/// The same program for two platforms: it starts on one of them.
const SEVERAL: &str = "\
FROM --platform=$BUILDPLATFORM busybox AS build
ARG TARGETARCH
RUN mkdir -p /out/$TARGETARCH && cp /bin/busybox /out/sh && head -c 900000 /dev/zero > /out/$TARGETARCH/data
FROM scratch
COPY --from=build /out /
CMD [\"/sh\"]
";

#[test]
fn of_several_platforms_the_reader_chooses_one_by_keyboard() {
    let jettison = Jettison::with_busybox();
    let folder = folder(SEVERAL, &[]);
    let page = folder.path().join("report.html");
    let report = format!("--report={}", page.display());
    let digest = jettison.build(folder.path(), &["-t", "app", &report, "--platform=linux/amd64,linux/arm64"]);
    let html = fs::read_to_string(&page).unwrap();
    assert_eq!(jettison.run(&["report"]).ok(), html.trim_end(), "the last build is the same");
    let (header, rest) = html.split_once("</header>").unwrap();
    assert!(header.contains("<dt>Platforms</dt><dd>2</dd>") && header.contains(&digest), "{header}");
    let panels: Vec<&str> = rest.split("<div class=\"panel\">").skip(1).collect();
    assert_eq!(panels.len(), 2, "{rest}");
    let index = jettison.inspect("app");
    let here = jettison.inspect("busybox")["config"]["architecture"].clone();
    for (panel, own) in panels.iter().zip(index["manifest"]["manifests"].as_array().unwrap()) {
        let arch = own["platform"]["architecture"].as_str().unwrap();
        assert!(panel.contains(own["digest"].as_str().unwrap()), "{arch}: {panel}");
        let starts = own["platform"]["architecture"] == here;
        let words = if starts { "<h2>It starts" } else { "<h2>It cannot start" };
        assert!(panel.contains(words) && panel.contains(&format!("title=\"/{arch}/data")), "{arch}: {panel}");
    }
    let Some(mut browser) = have("chromium").then(|| Browser::open(&page)).flatten() else {
        return skip("chromium does not answer here");
    };
    browser.show_as((390, 844), "light");
    let shown = "[...document.querySelectorAll('.panel')].map(panel => panel.offsetHeight > 0)";
    assert_eq!(browser.value(shown), serde_json::json!([true, false]));
    browser.press("Tab", 9, "");
    let outline = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle";
    assert_eq!(browser.value(outline), "solid", "the choice is the first that Tab comes to, and shows it");
    browser.press("ArrowRight", 39, "");
    assert_eq!(browser.value(shown), serde_json::json!([false, true]));
    browser.press("ArrowLeft", 37, "");
    assert_eq!(browser.value(shown), serde_json::json!([true, false]));
    browser.press("ArrowDown", 40, "");
    for scheme in ["light", "dark"] {
        for size in [(320, 640), (390, 844), (1100, 900)] {
            browser.show_as(size, scheme);
            let width = browser.value("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(width <= u64::from(size.0), "{size:?}: {width}");
        }
        assert_eq!(browser.value(PALE), serde_json::json!([]), "{scheme}");
        keep(&format!("platforms-{scheme}.png"), &browser.picture());
    }
}

/// Shows the page in a browser without a network: light, dark, and as wide as a phone.
fn screenshots(page: &Path) {
    if !have("chromium") {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../report");
    fs::create_dir_all(&folder).unwrap();
    for (name, width, height, scheme) in [
        ("light", 1100, 1900, 1),
        ("dark", 1100, 1900, 0),
        ("phone", 390, 2600, 1),
        ("phone-dark", 390, 2600, 0),
    ] {
        let picture = folder.join(format!("{name}.png"));
        let _ = fs::remove_file(&picture);
        if !screenshot(page, &picture, (width, height), scheme) {
            return;
        }
        let bytes = fs::read(&picture).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{name}");
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((number(16), number(20)), (width, height), "{name}");
        // One colour alone would be a tenth of it.
        assert!(bytes.len() > 30_000, "{name}: {} bytes", bytes.len());
    }
}

fn screenshot(page: &Path, picture: &Path, (width, height): (u32, u32), scheme: u8) -> bool {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-dev-shm-usage", "--virtual-time-budget=1000"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    if !picture.exists() {
        skip(&format!("chromium makes no picture here: {}", String::from_utf8_lossy(&output.stderr)));
    }
    picture.exists()
}

/// Texts whose contrast to what is behind them is below 4.5, the least that WCAG 2.1 asks for (level AA).
const PALE: &str = "(() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = parts(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const e of document.querySelectorAll('main *')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e), under = behind(e), over = parts(style.color);
    const mixed = over.slice(0, 3).map((v, i) => v * style.opacity + under[i] * (1 - style.opacity));
    const [a, b] = [light(mixed), light(under)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) pale.push(e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 20) + ' ' + ratio.toFixed(2));
  }
  return pale;
})()";

/// Everything that opens is reached by Tab, in the order of the page, shows that it is, and opens and closes by Enter and
/// by Space; nothing is wider than a phone, closed or open; every text can be read in light and in dark.
fn by_keyboard_and_at_phone_width(page: &Path) {
    if !have("chromium") {
        return;
    }
    let Some(mut browser) = Browser::open(page) else {
        return skip("chromium does not answer here");
    };
    browser.show_as((390, 844), "light");
    let all = "document.querySelectorAll('summary, a[href], button, input, select, [tabindex]')";
    let count = browser.value(&format!("{all}.length")).as_u64().unwrap();
    assert!(count > 8, "{count}");
    let focused = format!("[...{all}].indexOf(document.activeElement)");
    let is_open = "document.activeElement.parentElement.open";
    for number in 0..count {
        browser.press("Tab", 9, "");
        assert_eq!(browser.value(&focused), number);
        let style = browser.value("getComputedStyle(document.activeElement).outlineStyle");
        assert_eq!(style, "solid", "the one that has the focus shows it");
        for (key, code, text) in [("Enter", 13, "\r"), (" ", 32, " ")] {
            browser.press(key, code, text);
            assert_eq!(browser.value(is_open), true, "{number}: {key} opens");
            browser.press(key, code, text);
            assert_eq!(browser.value(is_open), false, "{number}: {key} closes");
        }
        browser.press("Enter", 13, "\r");
    }
    browser.press("ArrowDown", 40, "");
    assert_eq!(browser.value(&focused), count - 1, "arrows scroll and do nothing else");
    let sizes = [("phone", (390, 844)), ("narrow", (320, 640)), ("screen", (1100, 900))];
    for scheme in ["light", "dark"] {
        for (name, size) in sizes {
            browser.show_as(size, scheme);
            let width = browser.value("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(width <= u64::from(size.0), "{name}: {width}");
        }
        assert_eq!(browser.value(PALE), serde_json::json!([]), "{scheme}");
        keep(&format!("opened-{scheme}.png"), &browser.picture());
    }
}

fn keep(name: &str, picture: &[u8]) {
    assert!(picture.starts_with(b"\x89PNG"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../report");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), picture).unwrap();
}
