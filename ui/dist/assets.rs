// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BygwG3Va.css", kind: "text/css; charset=utf-8", etag: "\"b7f63b6666439b80\"", gzip: include_bytes!("assets/index-BygwG3Va.css.gz") },
    Asset { path: "/assets/index-DjjtXWiB.js", kind: "text/javascript; charset=utf-8", etag: "\"9f73d05903632aaa\"", gzip: include_bytes!("assets/index-DjjtXWiB.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-DOMthYd1.js", kind: "text/javascript; charset=utf-8", etag: "\"0d6dff0b48b5e216\"", gzip: include_bytes!("assets/plot-DOMthYd1.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"67d91995411ea6c0\"", gzip: include_bytes!("index.html.gz") },
]
