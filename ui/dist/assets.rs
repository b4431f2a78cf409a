// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-D4gMoIWF.js", kind: "text/javascript; charset=utf-8", etag: "\"140eaedacc5bedb2\"", gzip: include_bytes!("assets/index-D4gMoIWF.js.gz") },
    Asset { path: "/assets/index-Hd60j9Sh.css", kind: "text/css; charset=utf-8", etag: "\"dae059c3b08debac\"", gzip: include_bytes!("assets/index-Hd60j9Sh.css.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-rpPm8-h4.js", kind: "text/javascript; charset=utf-8", etag: "\"65336bb334a87396\"", gzip: include_bytes!("assets/plot-rpPm8-h4.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"b679a088666cd9ba\"", gzip: include_bytes!("index.html.gz") },
]
