//! Who is answered, and who is not.

use super::daemon::{Home, trace};

#[test]
fn requests_for_other_hosts_are_refused_on_loopback() {
    let home = Home::new();
    let daemon = home.start();
    for (host, status) in
        [("localhost", 200), ("127.0.0.1:9090", 200), ("[::1]", 200), ("evil.example:9090", 403)]
    {
        let answer = daemon.get_with("/health", &[("host", host)]);
        assert_eq!(answer.status, status, "{host}: {}", answer.text);
    }
    let answer = daemon.get_with("/", &[("host", "evil.example")]);
    assert!(answer.json()["error"].as_str().unwrap().contains("Host"), "{}", answer.text);
}

#[test]
fn pages_of_other_origins_are_refused_and_nobody_gets_cors_headers() {
    let home = Home::new();
    let daemon = home.start();
    let headers = [("origin", "https://evil.example"), ("content-type", "text/plain")];
    let answer = daemon.post_with("/v1/traces", &trace(""), &headers);
    assert_eq!(answer.status, 403, "{}", answer.text);
    let headers = [("origin", "http://localhost:3000"), ("content-type", "text/plain")];
    let answer = daemon.post_with("/v1/traces?wait=1", &trace(""), &headers);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let preflight = daemon.raw(
        b"OPTIONS /v1/traces HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n\
          Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n",
    );
    assert!(preflight.starts_with("HTTP/1.1 405"), "{preflight}");
    assert!(!preflight.to_lowercase().contains("access-control-allow"), "{preflight}");
    assert_eq!(home.number("SELECT count(*) FROM llm_traces"), 1);
}

#[test]
fn a_token_is_demanded_where_one_is_set() {
    let home = Home::with(&[("TRUEUP_TOKEN", "s3cret-t0ken")]);
    let daemon = home.start();
    for path in ["/", "/metrics", "/v1/traces", "/nothing"] {
        assert_eq!(daemon.get(path).status, 401, "{path}");
        let wrong = daemon.get_with(path, &[("authorization", "Bearer wrong")]);
        let challenge = if path == "/" { "Basic realm=\"trueup\"" } else { "Bearer" };
        assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, challenge), "{path}");
    }
    // What a browser sends once somebody has typed the token as the password of any user.
    for (credentials, status) in [
        ("Basic bWU6czNjcmV0LXQwa2Vu", 200),
        ("basic OnMzY3JldC10MGtlbg==", 200),
        ("Basic bWU6d3Jvbmc=", 401),
        ("Basic czNjcmV0LXQwa2Vu", 401),
        ("Basic %%%", 401),
        ("Basic /w==", 401),
    ] {
        let answer = daemon.get_with("/", &[("authorization", credentials)]);
        assert_eq!(answer.status, status, "{credentials}");
    }
    let right = ("authorization", "Bearer s3cret-t0ken");
    assert_eq!(daemon.get_with("/metrics", &[right]).status, 200);
    let media = ("content-type", "application/json");
    let answer = daemon.post_with("/v1/traces?wait=1", &trace(""), &[right, media]);
    assert_eq!(answer.status, 200);
    // Health is for supervisors, who have no token: paths of the machine are not.
    assert!(daemon.health()["ledger"].is_null());
    assert!(daemon.get_with("/health", &[right]).json()["ledger"].is_string());
}

#[test]
fn other_addresses_are_served_only_with_a_token() {
    let home = Home::with(&[("TRUEUP_BIND", "0.0.0.0")]);
    let refused = home.refusal(&[]);
    assert!(refused.contains("no token is set") && refused.contains("TRUEUP_BIND"), "{refused}");
    assert!(!home.path("ledger.db").exists());
    let token = home.path("token");
    std::fs::write(&token, "from-a-file\n").unwrap();
    let token = token.to_str().unwrap().to_owned();
    let home = Home::with(&[("TRUEUP_BIND", "0.0.0.0"), ("TRUEUP_TOKEN_FILE", &token)]);
    let daemon = home.start();
    let port = daemon.address.port();
    let request = |token: &str| {
        format!(
            "GET /metrics HTTP/1.1\r\nHost: usage.example:{port}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )
    };
    assert!(daemon.raw(request("wrong").as_bytes()).starts_with("HTTP/1.1 401"));
    assert!(daemon.raw(request("from-a-file").as_bytes()).starts_with("HTTP/1.1 200"));
}

#[test]
fn malformed_requests_harm_nobody() {
    let home = Home::new();
    let daemon = home.start();
    let long_header =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    for bytes in [
        b"\r\n\r\n".as_slice(),
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        long_header.as_bytes(),
        many_headers.as_bytes(),
    ] {
        let mut stream = std::net::TcpStream::connect(daemon.address).unwrap();
        let _is_sent = std::io::Write::write_all(&mut stream, bytes).is_ok();
        stream.shutdown(std::net::Shutdown::Write).unwrap_or_default();
        let mut answer = Vec::new();
        let _is_orderly = std::io::Read::read_to_end(&mut stream, &mut answer).is_ok();
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    assert_eq!(daemon.health()["status"], "ok");
}

#[test]
fn logs_are_json_and_hold_nothing_private() {
    let home = Home::with(&[("LOG_LEVEL", "debug"), ("TRUEUP_TOKEN", "s3cret-t0ken")]);
    let mut daemon = home.start();
    let headers = [("authorization", "Bearer s3cret-t0ken"), ("content-type", "application/json")];
    let body = trace(r#""input_text":"PRIVATE-PROMPT","output_text":"PRIVATE-ANSWER""#);
    assert_eq!(daemon.post_with("/v1/traces?wait=1", &body, &headers).status, 200);
    daemon.post_with("/v1/traces", "{\"provider\":\"PRIVATE", &headers);
    assert!(daemon.terminate().success());
    let log = daemon.log();
    assert!(log.len() >= 2, "{log:?}");
    for line in log {
        let line_json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(line_json["message"].is_string() && line_json["level"].is_string(), "{line}");
        assert!(!line.contains("PRIVATE") && !line.contains("s3cret"), "{line}");
    }
}
