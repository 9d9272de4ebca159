include $(sort $(wildcard $(BR2_EXTERNAL_COCOSAI_PATH)/package/*/*.mk))
