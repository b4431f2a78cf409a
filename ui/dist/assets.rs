// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-CyjB23lK.css", kind: "text/css; charset=utf-8", etag: "\"e6a8b3bc16522ee9\"", gzip: include_bytes!("assets/index-CyjB23lK.css.gz") },
    Asset { path: "/assets/index-DfU04uwY.js", kind: "text/javascript; charset=utf-8", etag: "\"067a06a6eca7b977\"", gzip: include_bytes!("assets/index-DfU04uwY.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-CraDRTsM.js", kind: "text/javascript; charset=utf-8", etag: "\"a940ea82c8531e79\"", gzip: include_bytes!("assets/plot-CraDRTsM.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"e693a8b36d7ecc4c\"", gzip: include_bytes!("index.html.gz") },
]
