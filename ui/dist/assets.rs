// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/devices-B-aCHoCV.js", kind: "text/javascript; charset=utf-8", etag: "\"bc4ce4df1b3e486f\"", gzip: include_bytes!("assets/devices-B-aCHoCV.js.gz") },
    Asset { path: "/assets/index-B97kMlPj.css", kind: "text/css; charset=utf-8", etag: "\"6c73a56dcc7b8ab6\"", gzip: include_bytes!("assets/index-B97kMlPj.css.gz") },
    Asset { path: "/assets/index-D3HPQbpM.js", kind: "text/javascript; charset=utf-8", etag: "\"4752b53e44c1600e\"", gzip: include_bytes!("assets/index-D3HPQbpM.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/assets/plot-DllhECu4.js", kind: "text/javascript; charset=utf-8", etag: "\"d8490d897420e064\"", gzip: include_bytes!("assets/plot-DllhECu4.js.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"3d783de555364c8a\"", gzip: include_bytes!("index.html.gz") },
]
