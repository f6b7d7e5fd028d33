//! `[dnssec]`: whose root it is, files of anchors, zones that are suspended.

use std::path::PathBuf;

use super::*;

/// A directory of its own, gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("maeslant-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn examine(&self, text: &str) -> (Option<Settings>, String) {
        let (settings, report) = examine(text, &self.0.join("maeslant.toml"));
        (settings, report.human(false))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PRIVATE: &str = ". NS a.\na. A 192.0.2.1\n";
const KSK: &str = "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

#[test]
fn the_compiled_in_anchors_count_at_the_internets_root_alone() {
    let dir = Scratch::new("roots");
    assert_eq!(good("").engine.resolve.dnssec.anchors, Anchors::built_in());
    dir.write("copy", crate::resolve::COMPILED_ROOT_HINTS);
    let (settings, shown) = dir.examine("[resolver]\nroot_hints = \"copy\"\n");
    assert_eq!(settings.unwrap().engine.resolve.dnssec.anchors, Anchors::built_in(), "{shown}");
    assert!(shown.ends_with("ok\n"), "{shown}");

    // Old hints know most of the servers; a private root knows none, or one by chance.
    let hints = Settings::default().engine.resolve.root_hints;
    let addresses: Vec<std::net::IpAddr> = hints.iter().flat_map(|hint| hint.addresses.clone()).collect();
    let file = |count: usize| {
        addresses.iter().take(count).fold(PRIVATE.to_owned(), |text, address| {
            text + &format!("a. {} {address}\n", if address.is_ipv4() { "A" } else { "AAAA" })
        })
    };
    for (count, public) in [(0, false), (12, false), (13, true), (26, true)] {
        dir.write("some", &file(count));
        let (settings, shown) = dir.examine("[resolver]\nroot_hints = \"some\"\n");
        let anchors = settings.unwrap().engine.resolve.dnssec.anchors;
        assert_eq!(anchors.iter().next().is_some(), public, "{count} addresses: {shown}");
        assert_eq!(shown.contains("maeslant.toml:2:14") && shown.contains("nothing is validated"), !public, "{shown}");
        assert_eq!(shown.contains("trust_anchors below [dnssec]"), !public, "{shown}");
    }

    let (settings, shown) = dir.examine("[resolver]\nroot_hints = \"some\"\n[dnssec]\nvalidation = false\n");
    assert!(settings.is_some() && shown.ends_with("ok\n"), "{shown}");
    dir.write("private", PRIVATE);
    let (settings, shown) = dir.examine("[resolver]\nroot_hints = \"private\"\n[dnssec]\nvalidation = false\n");
    assert!(settings.is_some() && shown.ends_with("ok\n"), "{shown}");
}

#[test]
fn a_file_of_anchors_replaces_the_compiled_in_ones() {
    let dir = Scratch::new("anchors");
    dir.write("private", PRIVATE);
    dir.write("keys", &format!("; ours\n. 3600 IN DS {KSK}\nisland.example. DS (\n {KSK} )\n"));
    let (settings, shown) = dir.examine("[resolver]\nroot_hints = \"private\"\n[dnssec]\ntrust_anchors = \"keys\"\n");
    let settings = settings.expect(&shown);
    assert!(shown.ends_with("ok\n"), "{shown}");
    assert_eq!(settings.trust_anchors_file, Some(dir.0.join("keys")));
    let zones: Vec<String> =
        settings.engine.resolve.dnssec.anchors.iter().map(|anchor| anchor.zone.to_string()).collect();
    assert_eq!(zones, [".", "island.example."]);
    assert_eq!(good(&print::effective(&settings)).engine, settings.engine);

    let text = "[dnssec]\ntrust_anchors = \"bad\"\n";
    dir.write("bad", &format!(". DS {KSK}\n\n. DS 20326 8 2 E06D\n  ; fine\n. A 192.0.2.1\n"));
    let (settings, shown) = dir.examine(text);
    assert!(settings.is_none());
    assert!(shown.contains("bad:3:1") && shown.contains("a digest of type 2 has 32 octets, here are 2"), "{shown}");
    assert!(shown.contains("bad:5:1") && shown.contains("only DS and DNSKEY records are trust anchors"), "{shown}");
    assert!(shown.contains("error[trust-anchors]") && shown.ends_with("maeslant.toml: 2 errors\n"), "{shown}");
    for (content, part) in [("", "no DS and no DNSKEY"), ("\n\n(\n", "bad:3:1")] {
        dir.write("bad", content);
        let (settings, shown) = dir.examine(text);
        assert!(settings.is_none() && shown.contains(part), "{content:?}: {shown}");
    }
    let (settings, shown) = dir.examine("[dnssec]\ntrust_anchors = \"missing\"\n");
    assert!(settings.is_none() && shown.contains("2 | trust_anchors = \"missing\""), "{shown}");
}

#[test]
fn anchors_that_do_not_count_are_said() {
    let dir = Scratch::new("useless-anchors");
    let report_on = |anchors: &str, sha1: &str| {
        dir.write("keys", anchors);
        let (settings, shown) = dir.examine(&format!("[dnssec]\ntrust_anchors = \"keys\"\nsha1 = \"{sha1}\"\n"));
        assert!(settings.is_some(), "{shown}");
        shown
    };
    let (ed448, by_sha1) = (format!(". IN DS 20326 16 2 {:064}\n", 0), format!("a.test. DS 1 8 1 {:040}\n", 0));
    let shown = report_on(&format!("{ed448}{by_sha1}"), "insecure");
    assert!(shown.contains("`.` is not validated") && shown.contains("algorithm 16 does not count"), "{shown}");
    assert!(shown.contains("`a.test.` is not validated") && shown.contains("digest type 1 does not count"), "{shown}");
    let shown = report_on(&by_sha1, "validate");
    assert!(shown.ends_with("ok\n"), "they count: {shown}");
    let shown = report_on(&format!("{ed448}. DS {KSK}\n"), "insecure");
    assert!(shown.ends_with("ok\n"), "one is enough: {shown}");
}

#[test]
fn suspended_zones_need_a_name_and_an_end() {
    for (item, part) in [
        ("{ zone = \"a.\" }", "`until` is missing"),
        ("{ until = \"2050-01-01\" }", "`zone` is missing"),
        ("{ zone = \"a..b\", until = \"2050-01-01\" }", "a label is empty"),
        ("{ zone = \"a.\", until = \"soon\" }", "write \"2026-12-31\" or"),
        ("{ zone = \"a.\", until = \"2050-01-01T00:00:00\" }", "the time zone is missing"),
        ("{ zone = \"a.\", until = 7 }", "expected a date, found a whole number"),
        ("{ zone = [], until = \"2050-01-01\" }", "expected a zone's name, found a list"),
        ("{ zone = \"a.\", until = \"2050-01-01\", untill = 1 }", "did you mean `until`?"),
        ("{ zone = \"a.\", until = 2050-01-01 }, { zone = \"A\", until = 2051-01-01 }", "has the zone `a.` twice"),
        ("\"a.\"", "write { zone = \"a.\", until = \"2026-12-31\" }"),
        ("7", "expected a zone and its end, found a whole number"),
    ] {
        let shown = sole(&format!("[dnssec]\nnegative_trust_anchors = [{item}]\n"));
        assert!(shown.contains(part) && shown.contains("test.toml:2:"), "{item}: no `{part}` in\n{shown}");
        assert!(shown.contains("--explain dnssec.negative_trust_anchors"), "{shown}");
    }
    let shown = sole("[dnssec]\nnegative_trust_anchors = \"a.\"\n");
    assert!(shown.contains("for example: [{ zone = \"example.\""), "{shown}");
    let tables = "[[dnssec.negative_trust_anchors]]\nzone = \"a.\"\nuntil = 2099-01-01\n";
    assert_eq!(good(tables).negative_trust_anchors.len(), 1);

    let shown = warned(
        "[dnssec]\nnegative_trust_anchors = [{ zone = \"b.\", until = 2099-01-01 }, { zone = \"a.\", until = 2001-01-01 }]",
    );
    assert!(shown.contains("`a.` is validated again") && shown.contains("test.toml:2:64"), "{shown}");
    assert_eq!(shown.matches("warning[").count(), 1, "{shown}");
}

#[test]
fn values_of_dnssec_are_checked() {
    for (text, part) in [
        ("min_rsa_bits = 511", "allowed: 512 to 4096 bits"),
        ("min_rsa_bits = 4097", "allowed: 512 to 4096 bits"),
        ("sha1 = \"off\"", "expected \"insecure\", \"validate\""),
        ("validation = \"no\"", "write false, without quotes"),
        ("trust_anchors = \"\"", "names no file"),
        ("trust_anchor_state = \"\"", "names no file"),
    ] {
        let shown = sole(&format!("[dnssec]\n{text}\n"));
        assert!(shown.contains(part), "{text}: no `{part}` in\n{shown}");
    }
}
