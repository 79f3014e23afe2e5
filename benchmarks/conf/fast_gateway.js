// fast-gateway as a bare proxy.
const gateway = require('fast-gateway')

gateway({
  routes: [{ prefix: '/bench', prefixRewrite: '/bench', target: 'http://127.0.0.1:{{upstream}}', undici: { connections: 256, pipelining: 1 } }]
}).start({{port}}, '127.0.0.1')
