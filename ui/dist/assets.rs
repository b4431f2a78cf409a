// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-jFBVTCnb.css", kind: "text/css; charset=utf-8", etag: "\"053aaea1f5301311\"", gzip: include_bytes!("assets/index-jFBVTCnb.css.gz") },
    Asset { path: "/assets/index-nGfCwWEX.js", kind: "text/javascript; charset=utf-8", etag: "\"9950d19aab19822c\"", gzip: include_bytes!("assets/index-nGfCwWEX.js.gz") },
    Asset { path: "/assets/plot-C4bcgBSv.js", kind: "text/javascript; charset=utf-8", etag: "\"eccc7a8ec0daf6c0\"", gzip: include_bytes!("assets/plot-C4bcgBSv.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"55f728d191d38ee4\"", gzip: include_bytes!("index.html.gz") },
]
