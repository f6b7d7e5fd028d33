-- dnsdist 1.7 against floods, from its documentation: a cache that keeps what is old, a share for each client (as maeslant
-- has it by default), and rules for clients and zones that are blocked for a while.
setMaxUDPOutstanding(65535)
-- A thread for each core.
setLocal('127.0.0.1:5397', { reusePort = true })
addLocal('127.0.0.1:5397', { reusePort = true })
setMaxTCPConnectionsPerClient(20)
setMaxTCPConnectionDuration(30)
setTCPRecvTimeout(2)
setRingBuffersSize(200000, 10)

cache = newPacketCache(200000, { maxTTL = 86400, temporaryFailureTTL = 2, staleTTL = 30, keepStaleData = true, numberOfShards = 20 })
getPool(''):setCache(cache)
setStaleCacheEntriesTTL(86400)

addAction(AndRule({ MaxQPSIPRule(1000, 32, 64, 1000), NotRule(TCPRule(true)) }), DropAction())
addAction(AndRule({ QTypeRule(DNSQType.ANY), NotRule(TCPRule(true)) }), TCAction())

local rules = dynBlockRulesGroup()
rules:setQueryRate(1000, 5, 'too many questions', 30, DNSAction.Drop)
rules:setRCodeRate(DNSRCode.SERVFAIL, 100, 5, 'too many failures', 30)
rules:setRCodeRate(DNSRCode.NXDOMAIN, 200, 5, 'too many names that do not exist', 30)

function maintenance()
    rules:apply()
end
