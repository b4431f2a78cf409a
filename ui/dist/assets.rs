// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-C0VdqW5W.js", kind: "text/javascript; charset=utf-8", etag: "\"d7046bf011deb6a9\"", gzip: include_bytes!("assets/index-C0VdqW5W.js.gz") },
    Asset { path: "/assets/index-CHB36zQd.css", kind: "text/css; charset=utf-8", etag: "\"8c79d52f55f27551\"", gzip: include_bytes!("assets/index-CHB36zQd.css.gz") },
    Asset { path: "/assets/plot-BvADuKdy.js", kind: "text/javascript; charset=utf-8", etag: "\"31a83d4131e3c380\"", gzip: include_bytes!("assets/plot-BvADuKdy.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"ef695a7d3a5115a4\"", gzip: include_bytes!("index.html.gz") },
]
