# quality 的中文帮助；英文帮助在 main.rs。

quality-about = 用内置的演示模型和训练时未用的问题，测量每种精度损失多少质量
quality-help-threads = CPU 线程数
    .default = 每个核一个
quality-help-calibration-step = 每 N 个训练问题取一个来校准 GPTQ
