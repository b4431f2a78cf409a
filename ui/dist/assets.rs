// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-DcP2KJnk.css", kind: "text/css; charset=utf-8", etag: "\"f4c1b2aa3fce55f4\"", gzip: include_bytes!("assets/index-DcP2KJnk.css.gz") },
    Asset { path: "/assets/index-zkQDsZLT.js", kind: "text/javascript; charset=utf-8", etag: "\"277eb72cf55b9b2a\"", gzip: include_bytes!("assets/index-zkQDsZLT.js.gz") },
    Asset { path: "/assets/plot-BRa5YL-1.js", kind: "text/javascript; charset=utf-8", etag: "\"fdc73984abddcb48\"", gzip: include_bytes!("assets/plot-BRa5YL-1.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"ce97cad6ba197bbb\"", gzip: include_bytes!("index.html.gz") },
]
