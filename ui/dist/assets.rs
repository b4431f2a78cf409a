// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BfZd2VaH.js", kind: "text/javascript; charset=utf-8", etag: "\"a8309ab93562e468\"", gzip: include_bytes!("assets/index-BfZd2VaH.js.gz") },
    Asset { path: "/assets/index-BygwG3Va.css", kind: "text/css; charset=utf-8", etag: "\"b7f63b6666439b80\"", gzip: include_bytes!("assets/index-BygwG3Va.css.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-Drk4yxel.js", kind: "text/javascript; charset=utf-8", etag: "\"4ed12b607b5921d9\"", gzip: include_bytes!("assets/plot-Drk4yxel.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"41a826ad76dbcd86\"", gzip: include_bytes!("index.html.gz") },
]
