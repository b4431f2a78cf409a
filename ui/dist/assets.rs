// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BAxz5FYB.css", kind: "text/css; charset=utf-8", etag: "\"aa6a1336432ddac5\"", gzip: include_bytes!("assets/index-BAxz5FYB.css.gz") },
    Asset { path: "/assets/index-C0eZOgfn.js", kind: "text/javascript; charset=utf-8", etag: "\"9e2f29b8f0c3b887\"", gzip: include_bytes!("assets/index-C0eZOgfn.js.gz") },
    Asset { path: "/assets/plot-Bh0IUn1R.js", kind: "text/javascript; charset=utf-8", etag: "\"7dd2ebbb12b186f6\"", gzip: include_bytes!("assets/plot-Bh0IUn1R.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"84f5e59bc3c5c86c\"", gzip: include_bytes!("index.html.gz") },
]
