################################################################################
#
# cocosai-agent
#
################################################################################

COCOSAI_AGENT_VERSION = 0.1.0
COCOSAI_AGENT_SITE = file://$(BR2_EXTERNAL_COCOSAI_PATH)/dl
COCOSAI_AGENT_LICENSE = Apache-2.0
COCOSAI_AGENT_LICENSE_FILES = LICENSE
COCOSAI_AGENT_DEPENDENCIES = bubblewrap lvm2 nodejs python3 util-linux

define COCOSAI_AGENT_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0644 $(@D)/agent.js \
		$(TARGET_DIR)/usr/lib/cocos/agent.js
	$(INSTALL) -D -m 0644 $(@D)/start.cjs \
		$(TARGET_DIR)/usr/lib/cocos/start.cjs
	$(INSTALL) -D -m 0644 $(@D)/node-vsock.linux-x64-gnu.node \
		$(TARGET_DIR)/usr/lib/cocos/node-vsock.linux-x64-gnu.node
	$(INSTALL) -D -m 0700 $(@D)/init.sh $(TARGET_DIR)/usr/sbin/init
endef

$(eval $(generic-package))
