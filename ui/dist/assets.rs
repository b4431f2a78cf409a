// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BhhtzSK5.js", kind: "text/javascript; charset=utf-8", etag: "\"9cf6da1faae29daa\"", gzip: include_bytes!("assets/index-BhhtzSK5.js.gz") },
    Asset { path: "/assets/index-CyjB23lK.css", kind: "text/css; charset=utf-8", etag: "\"e6a8b3bc16522ee9\"", gzip: include_bytes!("assets/index-CyjB23lK.css.gz") },
    Asset { path: "/assets/plot-Bwal1TGz.js", kind: "text/javascript; charset=utf-8", etag: "\"469825b558cef172\"", gzip: include_bytes!("assets/plot-Bwal1TGz.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"ab7acb3fc5e989de\"", gzip: include_bytes!("index.html.gz") },
]
