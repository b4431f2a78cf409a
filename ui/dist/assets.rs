// Made by `npm run build` in `ui`.
&[
    Asset { path: "/assets/index-BIPW8Cj1.css", kind: "text/css; charset=utf-8", etag: "\"00c78cd871bba32d\"", gzip: include_bytes!("assets/index-BIPW8Cj1.css.gz") },
    Asset { path: "/assets/index-JCzh4U4H.js", kind: "text/javascript; charset=utf-8", etag: "\"f0e9adee1909c1f1\"", gzip: include_bytes!("assets/index-JCzh4U4H.js.gz") },
    Asset { path: "/assets/plot-CL_52zsV.js", kind: "text/javascript; charset=utf-8", etag: "\"0b96ca0bc64d70c5\"", gzip: include_bytes!("assets/plot-CL_52zsV.js.gz") },
    Asset { path: "/assets/plot-CnsZ1jie.css", kind: "text/css; charset=utf-8", etag: "\"0fd9465202f6dfce\"", gzip: include_bytes!("assets/plot-CnsZ1jie.css.gz") },
    Asset { path: "/", kind: "text/html; charset=utf-8", etag: "\"dccc5e82ecf151f7\"", gzip: include_bytes!("index.html.gz") },
]
