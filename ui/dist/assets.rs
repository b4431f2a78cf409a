// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BAxz5FYB.css", kind: "text/css; charset=utf-8", etag: "\"aa6a1336432ddac5\"", gzip: include_bytes!("assets/index-BAxz5FYB.css.gz") },
    Asset { path: "/assets/index-DC-LPK6P.js", kind: "text/javascript; charset=utf-8", etag: "\"0322e790c5b61e5a\"", gzip: include_bytes!("assets/index-DC-LPK6P.js.gz") },
    Asset { path: "/assets/plot-BwTLnuaX.js", kind: "text/javascript; charset=utf-8", etag: "\"ea5f85fe938b43b0\"", gzip: include_bytes!("assets/plot-BwTLnuaX.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"e006d8a731a2e8e8\"", gzip: include_bytes!("index.html.gz") },
]
