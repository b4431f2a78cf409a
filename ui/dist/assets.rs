// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-CyjB23lK.css", kind: "text/css; charset=utf-8", etag: "\"e6a8b3bc16522ee9\"", gzip: include_bytes!("assets/index-CyjB23lK.css.gz") },
    Asset { path: "/assets/index-FZNDvp1Z.js", kind: "text/javascript; charset=utf-8", etag: "\"cb450df6cf31aa11\"", gzip: include_bytes!("assets/index-FZNDvp1Z.js.gz") },
    Asset { path: "/assets/plot-8WLcNdrl.js", kind: "text/javascript; charset=utf-8", etag: "\"43d782614f682335\"", gzip: include_bytes!("assets/plot-8WLcNdrl.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"400d03f7434c9213\"", gzip: include_bytes!("index.html.gz") },
]
