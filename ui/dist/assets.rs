// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/devices-DGXHIN61.js", kind: "text/javascript; charset=utf-8", etag: "\"6a838a4c7fcac903\"", gzip: include_bytes!("assets/devices-DGXHIN61.js.gz") },
    Asset { path: "/assets/index-B97kMlPj.css", kind: "text/css; charset=utf-8", etag: "\"6c73a56dcc7b8ab6\"", gzip: include_bytes!("assets/index-B97kMlPj.css.gz") },
    Asset { path: "/assets/index-BmwJUU9G.js", kind: "text/javascript; charset=utf-8", etag: "\"863d386ebdd260ad\"", gzip: include_bytes!("assets/index-BmwJUU9G.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-Deq236Hl.js", kind: "text/javascript; charset=utf-8", etag: "\"cd3e3ea9aabe60fd\"", gzip: include_bytes!("assets/plot-Deq236Hl.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"d2558b9912e4f8bf\"", gzip: include_bytes!("index.html.gz") },
]
