//! The dashboard's files, as a browser gets them.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::daemon::{Daemon, Home};

/// What the page names: its script and its style.
fn assets(daemon: &Daemon) -> Vec<String> {
    let page = daemon.get("/").text;
    let parts = page.split('"').filter(|part| part.starts_with("/assets/"));
    parts.map(str::to_owned).collect()
}

#[test]
fn the_page_may_load_only_what_is_served_with_it() {
    let home = Home::new();
    let daemon = home.start();
    let page = daemon.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    for directive in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let assets = assets(&daemon);
    assert_eq!(assets.len(), 2, "{}", page.text);
    for path in assets {
        let asset = daemon.get(&path);
        assert_eq!(asset.status, 200, "{path}");
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable", "{path}");
        assert_eq!(asset.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!asset.text.is_empty(), "{path}");
    }
}

#[test]
fn a_browser_that_has_the_page_is_not_sent_it_again() {
    let home = Home::new();
    let daemon = home.start();
    let page = daemon.get("/");
    assert_eq!(page.header("cache-control"), "no-cache");
    let again = daemon.get_with("/", &[("if-none-match", page.header("etag"))]);
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    let other = daemon.get_with("/", &[("if-none-match", "\"0\"")]);
    assert_eq!((other.status, other.text), (200, page.text));
}

#[test]
fn files_are_sent_packed_to_those_who_take_that() {
    let home = Home::new();
    let daemon = home.start();
    for path in assets(&daemon) {
        let plain = daemon.get_with(&path, &[("accept-encoding", "identity")]);
        assert_eq!(plain.header("content-encoding"), "");
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        );
        let (head, body) = daemon.raw_bytes(head.as_bytes());
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut unpacked = String::new();
        GzDecoder::new(&*body).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.text, "{path}");
    }
}

#[test]
fn there_are_no_other_files() {
    let home = Home::new();
    let daemon = home.start();
    for path in ["/assets/", "/assets/none.js", "/index.html"] {
        assert_eq!(daemon.get(path).status, 404, "{path}");
    }
}
