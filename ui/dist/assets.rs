// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BS_tb5qt.js", kind: "text/javascript; charset=utf-8", etag: "\"b45dd8c99eff96ac\"", gzip: include_bytes!("assets/index-BS_tb5qt.js.gz") },
    Asset { path: "/assets/index-CyjB23lK.css", kind: "text/css; charset=utf-8", etag: "\"e6a8b3bc16522ee9\"", gzip: include_bytes!("assets/index-CyjB23lK.css.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-PlL6DbYl.js", kind: "text/javascript; charset=utf-8", etag: "\"39c41ae4e1a4d1f1\"", gzip: include_bytes!("assets/plot-PlL6DbYl.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"4baf5fe9f3aa4cdf\"", gzip: include_bytes!("index.html.gz") },
]
