// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BXqZMSt5.js", kind: "text/javascript; charset=utf-8", etag: "\"0f877db4dd672480\"", gzip: include_bytes!("assets/index-BXqZMSt5.js.gz") },
    Asset { path: "/assets/index-YgLOa3Ec.css", kind: "text/css; charset=utf-8", etag: "\"4678da5eaa8bcbdb\"", gzip: include_bytes!("assets/index-YgLOa3Ec.css.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-DzNOYRli.js", kind: "text/javascript; charset=utf-8", etag: "\"65ba8eae66f4678e\"", gzip: include_bytes!("assets/plot-DzNOYRli.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"f670ad362eccfcea\"", gzip: include_bytes!("index.html.gz") },
]
