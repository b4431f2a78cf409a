// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/devices-Pr-EvDJ0.js", kind: "text/javascript; charset=utf-8", etag: "\"6af555f04b31adee\"", gzip: include_bytes!("assets/devices-Pr-EvDJ0.js.gz") },
    Asset { path: "/assets/index-BhZ1IHwD.js", kind: "text/javascript; charset=utf-8", etag: "\"e9951a530210f4d1\"", gzip: include_bytes!("assets/index-BhZ1IHwD.js.gz") },
    Asset { path: "/assets/index-jFBVTCnb.css", kind: "text/css; charset=utf-8", etag: "\"053aaea1f5301311\"", gzip: include_bytes!("assets/index-jFBVTCnb.css.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-DxRcEgWB.js", kind: "text/javascript; charset=utf-8", etag: "\"6e8d9eb98ca44c4c\"", gzip: include_bytes!("assets/plot-DxRcEgWB.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"15744e2800aaf706\"", gzip: include_bytes!("index.html.gz") },
]
