// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-CyjB23lK.css", kind: "text/css; charset=utf-8", etag: "\"e6a8b3bc16522ee9\"", gzip: include_bytes!("assets/index-CyjB23lK.css.gz") },
    Asset { path: "/assets/index-OkvpZcJb.js", kind: "text/javascript; charset=utf-8", etag: "\"7747e2cff7dc0607\"", gzip: include_bytes!("assets/index-OkvpZcJb.js.gz") },
    Asset { path: "/assets/plot-C5zsl_lJ.js", kind: "text/javascript; charset=utf-8", etag: "\"27b380ff0cd403e4\"", gzip: include_bytes!("assets/plot-C5zsl_lJ.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"5e4190881a366792\"", gzip: include_bytes!("index.html.gz") },
]
