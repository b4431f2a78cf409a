// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BygwG3Va.css", kind: "text/css; charset=utf-8", etag: "\"b7f63b6666439b80\"", gzip: include_bytes!("assets/index-BygwG3Va.css.gz") },
    Asset { path: "/assets/index-DGHqIPo0.js", kind: "text/javascript; charset=utf-8", etag: "\"4c41c56d46e941fd\"", gzip: include_bytes!("assets/index-DGHqIPo0.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-i1GXM1yF.js", kind: "text/javascript; charset=utf-8", etag: "\"53e4c6d253f1e56a\"", gzip: include_bytes!("assets/plot-i1GXM1yF.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"f521a30e96abfbb3\"", gzip: include_bytes!("index.html.gz") },
]
