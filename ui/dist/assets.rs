// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/devices-Cy2e_NFF.js", kind: "text/javascript; charset=utf-8", etag: "\"eea1f316b218aa93\"", gzip: include_bytes!("assets/devices-Cy2e_NFF.js.gz") },
    Asset { path: "/assets/index-B97kMlPj.css", kind: "text/css; charset=utf-8", etag: "\"6c73a56dcc7b8ab6\"", gzip: include_bytes!("assets/index-B97kMlPj.css.gz") },
    Asset { path: "/assets/index-BlRBgAtJ.js", kind: "text/javascript; charset=utf-8", etag: "\"ec29c55b12c2d19d\"", gzip: include_bytes!("assets/index-BlRBgAtJ.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-D-fGTsEX.js", kind: "text/javascript; charset=utf-8", etag: "\"555b8f848fd50166\"", gzip: include_bytes!("assets/plot-D-fGTsEX.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"a186305ab4456db1\"", gzip: include_bytes!("index.html.gz") },
]
